"""Measures whether lists, search and export stay as quick and as small from 1,000 to 1,000,000 deliveries.

On a private PostgreSQL that writes to the disk as in production. Each list is asked of both databases in turn, by whole
requests inside this process; what is printed are medians and their ratio.
"""

import argparse
import re
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from command import measure
from sqlalchemy import text
from volume import fill

from config import Config
from delivery.app import create_app
from delivery.database import db, transaction
from delivery.ops.schema import upgrade
from delivery.users import passwords, services
from tests.servers.postgres import DURABLE, postgres_server

PASSWORD = "correct horse battery staple"
PEOPLE = {"admin": "admin", "shop": "customer", "customer": "customer", "courier": "courier"}
# Who asks, and for what; {number}, {reference}, {name}, {first}, {phone} are those of one delivery in the middle.
LISTS = (
    ("admin", ""),
    ("admin", "sort=created_at"),
    ("admin", "sort=-updated_at"),
    ("shop", ""),
    ("customer", ""),
    ("customer", "sort=updated_at"),
    ("courier", ""),
    ("admin", "status=pending"),
    ("admin", "status=lost&status=on_hold"),
    ("admin", "status=delivered"),
    ("shop", "status=delivered"),
    ("admin", "tag=fragile"),
    ("admin", "courier_id={courier}"),
    ("admin", "owner_id={customer}"),
    ("admin", "reference={reference}"),
    ("admin", "unassigned=true"),
    ("admin", "late=true"),
    ("admin", "created_after={lately}"),
    ("admin", "created_before={half}"),
    ("admin", "updated_after={lately}&sort=updated_at"),
    ("admin", "window_after={lately}"),
    ("admin", "q={number}"),
    ("admin", "q={part}"),
    ("admin", "q={reference}"),
    ("admin", "q={name}"),
    ("admin", "q={phone}"),
    ("admin", "q=nobody+here"),
    ("admin", "q=order"),
    ("admin", "q={first}"),
    ("admin", "q=ma"),
    ("admin", "q=anna"),
    ("admin", "q=smith"),
    ("admin", "q=999"),
    ("admin", "q=99"),
    ("admin", "q=4420"),
    ("shop", "q={name}"),
    ("shop", "q={first}"),
    ("shop", "q=anna"),
    ("customer", "q=anna"),
    ("customer", "q={phone}"),
    ("courier", "q=anna"),
    ("courier", "q={name}"),
    ("admin", "q=anna&status=pending"),
    ("admin", "q={name}&status=pending"),
    ("admin", "q=anna&status=delivered"),
    ("shop", "q=anna&status=delivered"),
    ("admin", "q=anna&status=pending&status=in_transit"),
    ("admin", "q=anna&courier_id={courier}"),
    ("admin", "q=anna&unassigned=true"),
    ("admin", "q=anna&tag=fragile"),
    ("admin", "q=anna&late=true"),
    ("admin", "q=anna&created_before={half}"),
    ("admin", "q=anna&sort=created_at"),
    ("admin", "q=anna&sort=updated_at"),
    ("admin", "q=anna&sort=-updated_at"),
    ("admin", "q={name}&sort=-updated_at"),
    ("shop", "q=anna&sort=-updated_at"),
)


def main():
    """Fill, measure, and print a line a list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=1_000, help="deliveries (default: %(default)s)")
    parser.add_argument("--many", type=int, default=1_000_000, help="deliveries (default: %(default)s)")
    parser.add_argument("--times", type=int, default=31, help="each list is asked (default: %(default)s)")
    parser.add_argument("--strict", type=float, metavar="RATIO", help="exit code 1 where one is above it")
    args = parser.parse_args()
    with TemporaryDirectory(prefix="bench-") as folder, postgres_server(settings=DURABLE) as cluster:
        sizes = [_Size(cluster, Path(folder), rows) for rows in (args.few, args.many)]
        worst = max([_compare(who, query, sizes, times=args.times) for who, query in LISTS])
        for size in sizes:
            size.export(folder)
    if args.strict and worst > args.strict:
        sys.exit(1)


class _Size:
    """A database with so many deliveries, and clients of the app on it."""

    def __init__(self, cluster, folder, rows):
        self.rows, self.folder = rows, folder
        cluster.execute(f"CREATE DATABASE of_{rows}")
        keys = {name: "k" * 20 + name for name in ("SECRET_KEY", "JWT_SECRET_KEY")}
        self.settings = {"DATA_DIR": str(folder), "DATABASE_URL": cluster.url(f"of_{rows}"), "LOG_LEVEL": "WARNING"}
        self.settings |= keys | {"API_REQUESTS_PER_MINUTE": "1000000", "MIGRATION_STATEMENT_TIMEOUT_SECONDS": "3600"}
        app = create_app(Config(environ=self.settings))
        upgrade(app)
        began = time.monotonic()
        with app.app_context():
            self.ids = _people()
            fill(rows, self.ids)
            self.values = self._values()
        print(f"{rows:,} deliveries in {time.monotonic() - began:.0f} s", flush=True)
        self.clients = {name: _signed_in(app, name) for name in PEOPLE}

    def _values(self):
        middle = "SELECT * FROM deliveries ORDER BY id OFFSET (SELECT count(*) / 2 FROM deliveries) LIMIT 1"
        with db.engine.connect() as connection:
            row = connection.execute(text(middle)).one()
        half = row.created_at.isoformat().replace("+", "%2B")
        lately = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1800))
        named = {"number": row.tracking_number, "part": row.tracking_number[:8], "reference": row.reference}
        named |= {"name": row.recipient_name.replace(" ", "+"), "first": row.recipient_name.split()[0]}
        named |= {"phone": row.recipient_phone.removeprefix("+44")}
        return named | self.ids | {"half": half, "lately": lately}

    def ask(self, who, query):
        """Seconds that a list takes, and how many it gives."""
        client, headers = self.clients[who]
        address = f"/api/deliveries?{query.format(**self.values)}"
        began = time.perf_counter()
        response = client.get(address, headers=headers)
        took = time.perf_counter() - began
        assert response.status_code == 200, response.text
        return took, len(response.json["items"])

    def export(self, folder):
        """Export all of it by a process of its own, and print its most memory."""
        out = Path(folder) / f"{self.rows}.csv"
        took = measure(["deliveries", "export", str(out)], self.settings)
        size = out.stat().st_size / 2**20
        print(
            f"export of {self.rows:,}: {took.seconds:.1f} s, {size:.0f} MiB, at most {took.peak_mib:.0f} MiB of memory",
            flush=True,
        )


def _people():
    password_hash = passwords.hash_password(PASSWORD)
    with transaction():
        made = {
            name: services.create(
                name=name.title(), email=f"{name}@bench.example", role=role, password_hash=password_hash
            ).id
            for name, role in PEOPLE.items()
        }
        db.session.execute(text("UPDATE users SET email_verified_at = now()"))
    return made


def _signed_in(app, name):
    client = app.test_client()
    body = {"email": f"{name}@bench.example", "password": PASSWORD}
    token = client.post("/api/auth/login", json=body).json["access_token"]
    return client, {"Authorization": f"Bearer {token}"}


def _compare(who, query, sizes, *, times):
    """Print a list's line, and return its ratio; where the pages are not as long, that of such that are."""
    found = [size.ask(who, query)[1] for size in sizes]
    ratio = _measure(who, query, sizes, times=times)
    if len(set(found)) > 1:
        ratio = _measure(who, f"{query}&limit={max(1, min(found))}", sizes, times=times)
    return ratio


def _measure(who, query, sizes, *, times):
    took = [[], []]
    for number in range(times + 12):
        for place, size in enumerate(sizes):
            seconds, found = size.ask(who, query)
            if number >= 12:  # the first prepare the statement and warm the caches
                took[place].append((seconds, found))
    few, many = (1000 * statistics.median(seconds for seconds, _ in one) for one in took)
    found = "/".join(str(one[0][1]) for one in took)
    shown = re.sub(r"\{(\w+)\}", r"<\1>", query)
    print(f"{who:<9} {shown:<42} {found:>6} {few:7.2f} {many:7.2f} ms  {many / few:5.2f}", flush=True)
    return many / few


if __name__ == "__main__":
    main()
