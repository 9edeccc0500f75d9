"""A primary and its streaming replica, made as an operator makes one: pg_basebackup -R."""

import signal
import subprocess
from contextlib import contextmanager

import psycopg

from tests.servers.folders import short_folder
from tests.servers.postgres import (
    Postgres,
    answers,
    find_binaries,
    identity,
    initialise,
    reachable,
    server_user,
    start,
)
from tests.servers.waiting import wait_until

STREAMING = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off", "wal_level=replica")
HOT = ("hot_standby=on", "fsync=off", "wal_retrieve_retry_interval=100ms")


class Cluster(Postgres):
    """One of the two servers; it may be stopped, frozen and started."""

    def __init__(self, folder, tools, user, settings):
        super().__init__(folder)
        self.tools, self.user, self.settings, self.process = tools, user, settings, None

    def start(self):
        self.process = start(self.tools, folder=self.folder, user=self.user, settings=self.settings)
        wait_until(lambda: answers(self.folder, self.process), what=f"PostgreSQL (see {self.folder}/log)", seconds=30)

    def stop(self):
        """End it at once, as a crash does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=30)

    def value(self, query, database="postgres"):
        with psycopg.connect(f"host={self.folder} user=postgres dbname={database}", autocommit=True) as connection:
            return connection.execute(query).fetchone()[0]


@contextmanager
def streaming_pair():
    """Start both; yields (primary, replica)."""
    with short_folder("primary-") as one, short_folder("replica-") as two:
        user = server_user()
        tools = reachable(find_binaries(), folder=one, user=user)
        initialise(tools, folder=one, user=user)
        primary, replica = Cluster(one, tools, user, STREAMING), Cluster(two, tools, user, HOT)
        primary.start()
        try:
            copy(primary, replica)
            replica.start()
            try:
                yield primary, replica
            finally:
                replica.stop()
        finally:
            primary.stop()


def copy(primary, replica):
    for folder in (primary.folder, replica.folder):
        folder.chmod(0o755)
    if replica.user:
        subprocess.run(["chown", replica.user, str(replica.folder)], check=True)
    command = [
        primary.tools / "pg_basebackup", "-h", primary.folder, "-U", "postgres", "-D", replica.folder / "data",
        "-R", "-X", "stream", "--checkpoint=fast", "--no-sync",
    ]  # fmt: skip
    subprocess.run(command, cwd=replica.folder, capture_output=True, check=True, **identity(replica.user))
