"""Tries point-in-time recovery as docs/backups.md describes it: `scripts/try-pitr`.

A server archives its log; a base backup is taken; life goes on; somebody deletes what must not be deleted. The base
backup and the archive are then brought to the moment before, and every row must be as it was at that moment.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from delivery.app import create_app
from delivery.ops.schema import upgrade
from tests.backups.conftest import KEYS, hashes_of
from tests.conftest import close, settings
from tests.factories import People
from tests.servers import postgres
from tests.servers.folders import short_folder
from tests.servers.redis import redis_server
from tests.servers.waiting import wait_until


def main():
    """Do it once, and print what it took; fails when a row differs."""
    user = postgres.server_user()
    with short_folder("pitr-") as folder, TemporaryDirectory(prefix="data-") as data, redis_server() as redis:
        tools = postgres.reachable(postgres.find_binaries(), folder=folder, user=user)
        postgres.initialise(tools, folder=folder, user=user)
        archive, base = (made(folder / name, user) for name in ("archive", "base"))
        archiving = ("wal_level=replica", "max_wal_senders=4", "archive_mode=on", f"archive_command=cp %p {archive}/%f")
        url = postgres.Postgres(folder).url("delivery")
        site = {"DATABASE_URL": url, "REDIS_URL": redis.url, **KEYS}
        with running(tools, folder, user, archiving) as cluster:
            cluster.execute("CREATE DATABASE delivery")
            app = create_app(settings(data, **site))
            upgrade(app)
            shop = People(app).customer()
            shop.create(reference="before the base backup")
            run([tools / "pg_basebackup", "-D", base, "-h", folder, "-U", "postgres", "-X", "none", "-c", "fast"], user)
            shop.create(reference="after it")
            then, moment = hashes_of(url), clock(url)
            time.sleep(1)
            disaster(url)
            close(app)
            cluster.execute("SELECT pg_switch_wal()")
            wait_until(lambda: archived(folder), what="the archive", seconds=60)
        print(f"base backup {size(base) / 2**20:.0f} MiB, archive {size(archive) / 2**20:.0f} MiB; back to {moment}")
        began = time.monotonic()
        recover(folder, user, base=base, archive=archive, moment=moment)
        with running(tools, folder, user, archiving):
            wait_until(lambda: is_open(folder), what="the end of recovery", seconds=120)
            print(f"recovered in {time.monotonic() - began:.1f} s")
            differing = [table for table, rows in hashes_of(url).items() if rows != then[table]]
            print(f"{len(then)} tables, {sum(map(len, then.values()))} rows; differing: {differing or 'none'}")
            make_fit(site, data)
        return int(bool(differing))


def made(folder, user):
    folder.mkdir(mode=0o700)
    if user:
        shutil.chown(folder, user, user)
    return folder


@contextmanager
def running(tools, folder, user, given):
    process = postgres.start(tools, folder=folder, user=user, settings=given)
    try:
        wait_until(lambda: postgres.answers(folder, process), what=f"PostgreSQL (see {folder}/log)", seconds=120)
        yield postgres.Postgres(folder)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def run(command, user):
    subprocess.run([str(word) for word in command], check=True, cwd="/", **postgres.identity(user))


def disaster(url):
    """Somebody's mistake, after which more is written."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM deliveries")
        connection.execute("DROP TABLE tags CASCADE")


def clock(url):
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute("SELECT clock_timestamp()").fetchone()[0].isoformat()


def archived(folder):
    with psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True) as connection:
        query = "SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) FROM pg_stat_archiver"
        return connection.execute(query).fetchone()[0]


def is_open(folder):
    with psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True) as connection:
        return not connection.execute("SELECT pg_is_in_recovery()").fetchone()[0]


def size(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def recover(folder, user, *, base, archive, moment):
    """Put the base backup in the place of the data, and say how far the log is to be followed."""
    (folder / "data").rename(folder / "data.broken")
    base.rename(folder / "data")
    with (folder / "data" / "postgresql.auto.conf").open("a") as file:
        file.write(f"restore_command = 'cp {archive}/%f %p'\n")
        file.write(f"recovery_target_time = '{moment}'\n")
        file.write("recovery_target_action = 'promote'\n")
    (folder / "data" / "recovery.signal").touch()
    if user:
        shutil.chown(folder / "data" / "recovery.signal", user, user)


def make_fit(site, data):
    """What every restored database needs, whichever way it was restored."""
    (Path(data) / "erasures.jsonl").touch()
    environ = {**os.environ, **site, "DATA_DIR": data, "FLASK_APP": "wsgi:app"}
    subprocess.run([sys.executable, "-m", "flask", "restored", "--yes"], check=True, env=environ)


if __name__ == "__main__":
    sys.exit(main())
