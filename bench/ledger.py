"""Measures the ledger on a million settled messages: sweep, lists, counts and retention, on a private PostgreSQL.

`python bench/ledger.py` prints the median and the least of each in milliseconds: PostgreSQL's time, the driver's and
SQLAlchemy's. docs/performance.md has the figures.
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from speed import servers
from sqlalchemy import text

from delivery.database import db, transaction
from delivery.notifications import claims, queries, retention, stats
from delivery.notifications.access import visible_to
from delivery.notifications.queries import Filter
from delivery.web import Caller
from tests.servers.postgres import DURABLE, postgres_server

OWNER = UUID("0190a0a0-0000-7000-8000-000000000001")
DAYS = 60
# Ids as uuid7 makes them: the milliseconds of the time that created_at says, and chance.
_ID = """(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
         || substr(md5(n::text), 4, 15))::uuid"""
FILL = f"""
WITH numbered AS (
    SELECT n, now() - make_interval(days => {DAYS}) * (1 - n / CAST(:count AS float)) AS at
    FROM generate_series(1, CAST(:count AS int)) n
)
INSERT INTO outbox_messages (id, channel, audience, recipient_id, owner_id, event, template, lane, data, state,
    attempts, next_at, created_at, settled_at, provider)
SELECT {_ID}, CASE WHEN n % 5 = 0 THEN 'sms' ELSE 'mail' END, 'recipient', md5((n % 50000)::text)::uuid,
    CASE WHEN n % 1000 = 0 THEN CAST(:owner AS uuid) ELSE md5((n % 997)::text)::uuid END,
    'delivered', 'delivered', 'lane-' || n, '{{}}',
    CASE WHEN n % 2000 = 0 THEN 'dead' WHEN n % 2001 = 0 THEN 'failed' WHEN n % 100 = 7 THEN 'suppressed'
        ELSE 'sent' END,
    1, at, at, at + interval '2 seconds', 'smtp'
FROM numbered"""
ATTEMPTS = """
INSERT INTO outbox_attempts (message_id, n, started_at, handoff_at, ended_at, outcome, provider)
SELECT id, 1, created_at, created_at, settled_at, 'sent', provider FROM outbox_messages ORDER BY created_at"""


def main():
    """Fill, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000, help="settled ones (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=30, help="of each measurement (default: %(default)s)")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        cluster = stack.enter_context(postgres_server(settings=DURABLE))
        url = stack.enter_context(cluster.database())
        environ = servers.environment(database_url=url, redis_url="redis://127.0.0.1:1", folder=folder)
        environ["DB_STATEMENT_TIMEOUT_SECONDS"] = "600"
        stack.enter_context(servers.migrated_app(environ))
        fill(args.messages)
        for name, work in measurements().items():
            times = times_ms(work, rounds=args.rounds)
            print(f"{name:40} {statistics.median(times):10.3f} ms {min(times):10.3f} ms", flush=True)
        print_retention()
    return 0


def fill(count):
    """Write settled messages of the last DAYS days, each with an attempt."""
    began = time.monotonic()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(FILL), {"count": count, "owner": OWNER})
        connection.execute(text(ATTEMPTS))
        connection.execute(text("VACUUM ANALYZE"))
    print(f"Wrote {count} messages in {time.monotonic() - began:.0f} s.", file=sys.stderr)


def measurements():
    """What is measured: {name: a call}."""
    admin, customer = Caller(id=None, role="admin"), Caller(id=OWNER, role="customer")
    problems = Filter(state=["dead", "failed", "uncertain"])

    def page(chosen, who=admin):
        return lambda: queries.page(chosen, visible=visible_to(who), limit=21)

    return {
        "empty sweep": claims.due_channels,
        "list: all, the newest 20": page(Filter()),
        "list: three states": page(problems),
        "list: a customer's": page(Filter(), customer),
        "list: a customer's dead": page(Filter(state=["dead"]), customer),
        "list: a customer's three states": page(problems, customer),
        "list: an event that nobody has": page(Filter(event="nothing")),
        "stats: waiting": stats.waiting,
        "stats: overdue": stats.overdue_seconds,
        "stats: given up": stats.given_up,
        "stats: of the last day": stats.of_last_day,
        "stats: attempts of the last hour": lambda: stats.outcomes(of_last_seconds=3600),
        "stats: breakers": stats.breakers,
        "count to resend": lambda: queries.counts_to_resend(problems),
        "for comparison: all by state": lambda: db.session.execute(
            text("SELECT state, count(*) FROM outbox_messages GROUP BY state")
        ).all(),
    }


def times_ms(work, *, rounds):
    """Return the times of some runs, the first ones left out: those prepare the statement."""
    for _ in range(6):
        work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    db.session.rollback()
    return times


def print_retention():
    """Throw away what is 30 days old, in batches of 1,000, and look for more afterwards."""
    times = []
    while True:
        began = time.perf_counter()
        with transaction():
            count = retention.purge(1000)
        times.append(1000 * (time.perf_counter() - began))
        if not count:
            break
    *full, empty = times
    print(f"{'retention: a batch of 1,000 (median)':40} {statistics.median(full):10.3f} ms  of {len(full)} batches")
    print(f"{'retention: the slowest batch':40} {max(full):10.3f} ms")
    print(f"{'retention: nothing left':40} {empty:10.3f} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
