"""Measures speed and memory: the project beside a floor of raw WSGI and SQL that does the same work by hand.

Both run under the same gunicorn, on one private PostgreSQL that writes to the disk as in production, and are asked in
turn, round by round. docs/performance.md says how to read the table.
"""

import argparse
import json
import platform
import sys
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from speed import load, meter, plan, report, servers
from speed.data import seed

from tests.servers.postgres import DURABLE, postgres_server
from tests.servers.redis import redis_server

APPS = {"delivery": "wsgi:app", "floor": "speed.floor:app"}
WARM_UP_SECONDS = 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of each request on each server (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of load a round (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="kept alive (default: %(default)s)")
    parser.add_argument("--deliveries", type=int, default=20_000, help="in the database (default: %(default)s)")
    parser.add_argument("--customers", type=int, default=32, help="who ask in turn (default: %(default)s)")
    parser.add_argument("--only", choices=plan.KINDS, action="append", help="this request alone; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures there")
    return parser.parse_args()


def main():
    """Measure and print; 0 only when every answer was a success."""
    args = arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        cluster = stack.enter_context(postgres_server(settings=DURABLE))
        both, owned = start(stack, args, cluster=cluster, folder=folder)
        files = prepare(args, both, owned=owned, folder=folder)
        samples = measure(args, both, files=files, postgres=meter.postmaster(cluster.folder))
        pss = {server.name: meter.worker_pss_mib(server.process) for server in both}
    compared = report.compare(list(files), samples)
    print("\n".join(report.table(compared)))
    print(f"\nMemory of a worker (PSS): {pss['delivery']:.0f} MiB, the floor's {pss['floor']:.0f}.", end=" ")
    print(f"Load by {load.generator()}; {psutil.cpu_count()} processors, Python {platform.python_version()}.")
    if args.json:
        told = {"at": datetime.now(UTC).isoformat(), "compared": compared, "worker_pss_mib": pss}
        args.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return int(any(result[name]["not_2xx"] for result in compared.values() for name in APPS))


def start(stack, args, *, cluster, folder):
    """Start everything; return the two web servers, and the ids of each customer's deliveries."""
    environ = servers.environment(
        database_url=stack.enter_context(cluster.database()),
        redis_url=stack.enter_context(redis_server()).url,
        folder=folder,
    )
    say(f"Writing {args.deliveries} deliveries of {args.customers} customers ...")
    with servers.migrated_app(environ):
        owned = seed(customers=args.customers, deliveries=args.deliveries)
    both = [
        stack.enter_context(servers.web_server(name, module, environ=environ, log=folder / f"{name}.log"))
        for name, module in APPS.items()
    ]
    return both, owned


def prepare(args, both, *, owned, folder):
    """Write the requests of each kind to a file, once both have answered the first of them alike."""
    tokens = plan.sign_in(both[0], owned)
    files = {}
    for kind in args.only or plan.KINDS:
        prepared = plan.requests(kind, owned=owned, tokens=tokens)
        plan.agree(both, prepared[0])
        files[kind] = folder / f"{kind}.requests"
        plan.write(files[kind], prepared)
    return files


def measure(args, both, *, files, postgres):
    """Return {(kind, server): [sample of each round]}; who goes first changes with each round."""
    samples = defaultdict(list)
    for requests in files.values():
        for server in both:
            load.run(requests, port=server.port, seconds=WARM_UP_SECONDS, connections=args.connections)
    for number in range(args.rounds):
        for kind, requests in files.items():
            say(f"Round {number + 1} of {args.rounds}: {kind}")
            for server in both if number % 2 == 0 else both[::-1]:
                samples[kind, server.name].append(sample(args, server, requests=requests, postgres=postgres))
    return samples


def sample(args, server, *, requests, postgres):
    """Load one server for a while; return the load and the processor seconds that it took."""
    before = meter.cpu_seconds(server.process), meter.cpu_seconds(postgres)
    made = load.run(requests, port=server.port, seconds=args.seconds, connections=args.connections)
    after = meter.cpu_seconds(server.process), meter.cpu_seconds(postgres)
    return {"load": made, "server": after[0] - before[0], "postgres": after[1] - before[1]}


def say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
