"""Measures a backup and its restore: seconds, bytes, and the most memory that all their processes took together.

On a private PostgreSQL that writes to the disk as in production, with deliveries of the kind that is used beside.
"""

import argparse
import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from speed.data import seed
from sqlalchemy import text

from config import Config
from delivery.app import create_app
from delivery.database import transaction
from delivery.deliveries.models import Delivery, DeliveryEvent
from delivery.ops.schema import upgrade
from tests.servers.postgres import DURABLE, postgres_server

MIB = 2**20


def main():
    """Seed, back up, restore in its place, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=100_000, help="in the database (default: %(default)s)")
    parser.add_argument(
        "--copies", type=int, default=0, help="of each, under other ids: quicker (default: %(default)s)"
    )
    args = parser.parse_args()
    with TemporaryDirectory(prefix="bench-") as folder, postgres_server(settings=DURABLE) as cluster:
        keys = {name: "k" * 20 + name for name in ("SECRET_KEY", "JWT_SECRET_KEY")}
        settings = {"DATA_DIR": folder, "DATABASE_URL": cluster.url("measured"), **keys}
        cluster.execute("CREATE DATABASE measured")
        app = create_app(Config(environ=settings))
        upgrade(app)
        with app.app_context():
            seed(customers=32, deliveries=args.deliveries)
            _copy(args.copies)
        (Path(folder) / "erasures.jsonl").touch()
        print(f"{args.deliveries * (1 + args.copies):,} deliveries", flush=True)
        _measured("backup", ["make", "--to", f"{folder}/backups"], settings)
        (made,) = Path(folder).glob("backups/delivery-*")
        print(f"  {sum(path.stat().st_size for path in made.iterdir()) / MIB:.0f} MiB on the disk")
        _measured("restore", ["restore", str(made), "--replace"], settings)


def _copy(copies):
    """Write what was seeded so many times more under other ids, without tags; no rule is checked again."""
    with transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(text("CREATE TEMPORARY TABLE seeded ON COMMIT DROP AS SELECT id FROM deliveries"))
        keys = ((Delivery, "id"), (DeliveryEvent, "delivery_id"))
        for number, (table, key) in itertools.product(range(copies), keys):
            salted = f"md5({key}::text || '{number}')"
            changed = {
                key: f"(substr({key}::text, 1, 24) || substr({salted}, 1, 12))::uuid",
                "tracking_number": f"'C' || upper(substr({salted}, 1, 12))",
                "reference": "NULL",
            }
            names = [column.name for column in table.__table__.columns if column.computed is None]
            values = ", ".join(changed.get(name, name) for name in names)
            name, these = table.__tablename__, f"{key} IN (SELECT id FROM seeded)"
            session.execute(text(f"INSERT INTO {name} ({', '.join(names)}) SELECT {values} FROM {name} WHERE {these}"))


def _measured(what, words, settings):
    command = [sys.executable, "-m", f"scripts.backups.{words[0]}", *words[1:]]
    began = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **settings, "FLASK_APP": "wsgi:app"})
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak))
    watcher.start()
    code = process.wait()
    watcher.join()
    print(f"{what}: {time.monotonic() - began:.1f} s, at most {peak[0] / MIB:.0f} MiB; exit code {code}", flush=True)
    if code:
        sys.exit(code)


def _watch(pid, peak):
    """Add the resident memory of a process and its children, ten times a second; PostgreSQL's own is not theirs."""
    while psutil.pid_exists(pid):
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return
            family = [process, *process.children(recursive=True)]
            peak[0] = max(peak[0], sum(_resident(one) for one in family))
        except psutil.NoSuchProcess:
            return
        time.sleep(0.1)


def _resident(process):
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


if __name__ == "__main__":
    main()
