"""The trial on real input: plays a file of marketplace orders against a running server and checks all that came of it.

docs/trial.md says how to run it, what each order becomes and how to read the report.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from replay.client import Account, Client, Meter, Refused
from replay.histories import breaches
from replay.mails import Inbox, compare, due, wait
from replay.measure import Memory, latency
from replay.orders import Order, read_orders
from replay.play import Crowd, Played, make_courier, play

BREACHES_NAMED = 10


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the orders, CSV")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    parser.add_argument("--email", required=True, help="an admin, or with --courier-id a dispatcher")
    parser.add_argument("--password", default=os.environ.get("REPLAY_PASSWORD"), help="default: $REPLAY_PASSWORD")
    parser.add_argument("--courier-id", help="assign to this courier (default: an admin creates one)")
    parser.add_argument("--limit", type=int, help="play only the first N orders")
    parser.add_argument("--concurrency", type=int, default=8, help="orders played side by side (default: %(default)s)")
    parser.add_argument("--zone", type=ZoneInfo, default="America/Sao_Paulo", help="of the file (default: %(default)s)")
    parser.add_argument("--smtp-log", type=Path, help="what smtp_sink.py writes; without it mail is not checked")
    parser.add_argument(
        "--mail-limit", type=float, default=600.0, help="seconds to wait for mail (default: %(default)s)"
    )
    parser.add_argument("--pid", type=int, help="the system's supervisor; measures its memory and its children's")
    parser.add_argument("--report", type=Path, help="write the report to this file as JSON")
    args = parser.parse_args()
    if not args.password:
        parser.error("--password or REPLAY_PASSWORD is needed")
    if args.smtp_log and not args.smtp_log.exists():
        parser.error(f"{args.smtp_log} does not exist; start smtp_sink.py first")
    return args


def main() -> int:
    """Play, wait for the mail, check; 0 only when nothing was refused and nothing is breached."""
    args = arguments()
    try:
        orders = list(read_orders(args.file, zone=args.zone, limit=args.limit))
        report, found = trial(args, orders)
    except (OSError, ValueError, Refused) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2, ensure_ascii=False))
    if args.report:
        args.report.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for line in found[:BREACHES_NAMED]:
        print(f"breach: {line}", file=sys.stderr)
    print(f"{len(found)} breaches" if found else "no breach", file=sys.stderr)
    return 1 if found else 0


def trial(args: argparse.Namespace, orders: list[Order]) -> tuple[dict[str, Any], list[str]]:
    """Return the report and every breach as a line."""
    meter = Meter()
    account = Account(args.url, email=args.email, password=args.password)
    with closing(Client(args.url, account=account, meter=meter)) as client:
        sender = client.get("/api/auth/me", kind="me")["email"]
        courier_id = args.courier_id or make_courier(client, password=args.password)
    crowd = Crowd(args.url, account=account, meter=meter, size=args.concurrency)
    memory = Memory(args.pid) if args.pid else None
    with memory.watched() if memory else nullcontext():
        started = time.time()
        played = crowd.each(partial(play, courier_id=courier_id), orders, title="played")
        ended = time.time()
        mail, mail_breaches = mail_of(played, args=args, sender=sender, ended=ended)
        history_breaches = crowd.each(breaches, played, title="verified")
    lines = [*refusals(played), *named(played, history_breaches), *mail_breaches]
    report = {
        "orders": orders_of(played, history_breaches=history_breaches),
        "speed": speed_of(played, meter=meter, seconds=ended - started),
        "mail": mail,
        "memory": {"peak total pss_mib": memory.total_pss_mib, "processes": memory.peaks()} if memory else None,
        "breaches": len(lines),
    }
    return report, lines


def mail_of(
    played: list[Played], *, args: argparse.Namespace, sender: str, ended: float
) -> tuple[dict[str, Any] | None, list[str]]:
    """Wait for the mail that is due and compare; None where no sink is listening."""
    if not args.smtp_log:
        return None, []
    wanted = due(played, sender=sender)
    inbox = Inbox(args.smtp_log, frozenset(one.number for one in played if one.error is None))
    wait(inbox, count=wanted.total(), limit_seconds=args.mail_limit)
    figures, lines = compare(inbox, wanted)
    figures["seconds from last move to last mail"] = round(max(0.0, (inbox.last or ended) - ended), 1)
    return figures, lines


def orders_of(played: list[Played], *, history_breaches: list[list[str]]) -> dict[str, Any]:
    """How many orders were played, how many are sound, and which state each file status came to."""
    ends = Counter(f"{one.order.file_status} -> {one.order.states[-1]}" for one in played if one.error is None)
    return {
        "in the file": len(played),
        "played to the end": sum(one.error is None for one in played),
        "refused": sum(one.error is not None for one in played),
        "final state and history sound": sum(
            one.error is None and not found for one, found in zip(played, history_breaches, strict=True)
        ),
        "file status -> final state": dict(sorted(ends.items())),
    }


def speed_of(played: list[Played], *, meter: Meter, seconds: float) -> dict[str, Any]:
    """The speed of the play alone; reads are those of the check."""
    timed = {kind: latency(measured) for kind, measured in sorted(meter.seconds.items())}
    requests = sum(timed[kind]["count"] for kind in ("create", "transition") if kind in timed)
    return {
        "seconds": round(seconds, 1),
        "deliveries per second": round(len(played) / seconds, 1),
        "requests per second": round(requests / seconds, 1),
        "requests": timed,
        "odd": dict(meter.counts),
    }


def refusals(played: list[Played]) -> list[str]:
    return [f"order {one.order.reference} was refused: {one.error}" for one in played if one.error is not None]


def named(played: list[Played], history_breaches: list[list[str]]) -> list[str]:
    pairs = zip(played, history_breaches, strict=True)
    return [f"order {one.order.reference}: {line}" for one, found in pairs for line in found]


if __name__ == "__main__":
    sys.exit(main())
