"""Measures how fast messages go out: mail and webhooks by the real workers, on a private PostgreSQL and Valkey.

In one run and in turn: the workers, smtplib alone, and RQ with a fork a job. docs/performance.md says how to read it.
"""

import argparse
import json
import platform
import sys
from contextlib import ExitStack
from dataclasses import asdict, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from sending import outbox, parts, processes
from sending.sinks import OF_MAIL, sink
from speed import meter, servers

from tests.servers.postgres import DURABLE, postgres_server
from tests.servers.redis import redis_server

PARTS = ("mail", "latency", "http", "sweep", "memory")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="of mail, each way (default: %(default)s)")
    parser.add_argument("--mails", type=int, default=10_000, help="a round (default: %(default)s)")
    parser.add_argument(
        "--settled", type=int, default=1_000_000, help="messages beside the sweep (default: %(default)s)"
    )
    kind = "kind of mail server (default: %(default)s)"
    parser.add_argument("--sink", choices=OF_MAIL, default="submission", help=kind)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of the mail server before it takes a mail")
    far = "to the mail server and back, beside what the machine takes itself (default: %(default)s)"
    parser.add_argument("--distance-ms", type=float, default=0.6, help=far)
    parser.add_argument("--strict", action="store_true", help="exit code 1 where an aim is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures there")
    return parser.parse_args()


def main():
    """Measure and print."""
    args = arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        delays = {"delay_seconds": args.delay_ms / 1000, "distance_seconds": args.distance_ms / 1000}
        smtp = stack.enter_context(sink(args.sink, folder, **delays))
        cluster = stack.enter_context(postgres_server(settings=DURABLE))
        environ = processes.settings(
            database_url=stack.enter_context(cluster.database()),
            redis_url=stack.enter_context(redis_server()).url,
            folder=folder,
            smtp=smtp,
        )
        stack.enter_context(servers.migrated_app({**environ, "DB_STATEMENT_TIMEOUT_SECONDS": "600"}))
        outbox.seed(11_000)
        bench = parts.Bench(environ, folder, smtp, postgres=meter.postmaster(cluster.folder))
        away = smtp.distance_ms()
        lines = list(measure(args, bench))
    machine = f"{psutil.cpu_count()} processors, Python {platform.python_version()}"
    print(f"\n{machine}, a mail server of kind {args.sink}, {away:.2f} ms away, {args.delay_ms:g} ms for a mail.")
    if args.json:
        args.json.write_text(json.dumps(bench.figures, default=as_plain, indent=2) + "\n", encoding="utf-8")
    return int(args.strict and any(line.met is False for line in lines))


def as_plain(value):
    return asdict(value) if is_dataclass(value) else str(value)


def measure(args, bench):
    """Measure and print line by line."""
    print("| what | aim | measured | met | load |\n| --- | --- | --- | --- | --- |", flush=True)
    sized = {
        "mail": lambda: parts.mail(bench, rounds=args.rounds, mails=args.mails, forked_mails=200),
        "latency": lambda: parts.latency(bench, fresh=300, queued=10_000),
        "http": lambda: parts.http(bench, messages=10_000, endpoints=60),
        "sweep": lambda: parts.empty_sweep(bench, settled_rows=args.settled, runs=300),
        "memory": lambda: parts.memory(bench, checkpoints=(20_000, 50_000, 100_000), chunk=10_000),
    }
    for name in args.only or PARTS:
        for line in sized[name]():
            met = {True: "yes", False: "no", None: ""}[line.met]
            print(f"| {line.what} | {line.aim} | {line.measured} | {met} | {parts.loads()} |", flush=True)
            yield line


if __name__ == "__main__":
    sys.exit(main())
