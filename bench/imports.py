"""Measures how fast a file of deliveries is imported, and with how much memory.

On a private PostgreSQL that writes to the disk as in production: `flask deliveries import`, a process of its own, gets
CSV files of which each row is different. The small file and the large one tell whether memory grows with the rows.
Beside the time stands processor time, the importing process's and PostgreSQL's: on a busy machine that alone counts.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from command import measure
from sqlalchemy import text

from config import Config
from delivery.app import create_app
from delivery.database import db, transaction
from delivery.ops.schema import upgrade
from delivery.users import services
from tests.imports.making import OPTIONS, row, table
from tests.servers.postgres import DURABLE, postgres_server

TICKS = os.sysconf("SC_CLK_TCK")
TOOK = "SELECT created, extract(epoch FROM finished_at - started_at) AS seconds FROM imports ORDER BY id DESC LIMIT 1"


def main():
    """Import a tenth of the rows, and then all of them; print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of the large file (default: %(default)s)")
    parser.add_argument("--strict", type=float, metavar="ROWS", help="exit code 1 where fewer a second are made")
    args = parser.parse_args()
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        postgres_server(settings=DURABLE) as cluster,
        cluster.database() as url,
    ):
        bench = _Bench(Path(folder), cluster, url)
        few, many = bench.measure(args.rows // 10, first=0), bench.measure(args.rows, first=10**6)
    own, theirs = (
        (more - less) / (args.rows - args.rows // 10) for less, more in zip(few.spent, many.spent, strict=True)
    )
    print(f"A further row: {1e6 * own:.0f} us of processor time, and {1e6 * theirs:.0f} of PostgreSQL")
    if args.strict and many.rate < args.strict:
        sys.exit(1)


class _Found(NamedTuple):
    """How many rows a second were made, and the processor time of the command and of PostgreSQL, in seconds."""

    rate: float
    spent: tuple[float, float]


class _Bench:
    """A database with one owner, and the command that imports for them."""

    def __init__(self, folder, cluster, url):
        self.folder = folder
        self.postmaster = int((cluster.folder / "data" / "postmaster.pid").read_text().split()[0])
        keys = {name: "k" * 20 + name for name in ("SECRET_KEY", "JWT_SECRET_KEY")}
        self.settings = {"DATA_DIR": str(folder), "DATABASE_URL": url, "LOG_LEVEL": "WARNING", **keys}
        self.app = create_app(Config(environ=self.settings))
        upgrade(self.app)
        (folder / "settings.json").write_text(json.dumps(OPTIONS))
        with self.app.app_context(), transaction():
            services.create(name="Shop", email="shop@bench.example", role="customer", password_hash="-")

    def measure(self, count, *, first):
        """Import so many rows, and print what it took."""
        file = self.folder / "orders.csv"
        numbers = range(first, first + count)
        file.write_bytes(table(row(number, phone=f"+44207{number:07}") for number in numbers))
        words = ["deliveries", "import", str(file), "--owner", "shop@bench.example", "--json"]
        words += ["--settings", str(self.folder / "settings.json")]
        before = _seconds_of(self.postmaster)
        took = measure(words, self.settings)
        theirs = _seconds_of(self.postmaster) - before
        with self.app.app_context():
            made = db.session.execute(text(TOOK)).one()
        assert made.created == count
        rate, own = count / float(made.seconds), took.processor
        print(
            f"{count:,} rows in {made.seconds:.1f} s: {rate:,.0f} a second; {took.seconds:.1f} s in all. "
            f"Processor time a row: {1e6 * own / count:.0f} us, and {1e6 * theirs / count:.0f} of PostgreSQL. At most "
            f"{took.peak_mib:.0f} MiB. Load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        return _Found(rate, (own, theirs))


def _seconds_of(postmaster):
    """Processor time of a cluster's processes: those there are, and those that have ended."""
    spent = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        values, number = rest.split(), int(head.split()[0])
        if number == postmaster:
            spent += sum(map(int, values[11:15]))
        elif int(values[1]) == postmaster:
            spent += sum(map(int, values[11:13]))
    return spent / TICKS


if __name__ == "__main__":
    main()
