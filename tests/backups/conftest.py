"""A deployment with something in its tables, and its operator, who makes backups and restores them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

from delivery.app import create_app
from delivery.ops.schema import upgrade
from scripts.backups import make, restore
from scripts.backups.failures import Failed
from tests.conftest import CHEAP_HASHES, close, settings
from tests.factories import People

ROOT = Path(__file__).parents[2]
KEYS = {"SECRET_KEY": "s" * 20 + "ecret" * 3, "JWT_SECRET_KEY": "j" * 20 + "ecret" * 3}


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request, tmp_path, redis_server, monkeypatch):
    """A migrated, empty deployment (Site) on either database; `sqlite:NAME` names the file."""
    _, _, file = request.param.partition(":")
    url = f"sqlite:///{tmp_path}/data/{file or 'delivery.sqlite3'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_postgres_database")()
    with_site = Site(url, tmp_path, redis_server.url, monkeypatch)
    yield with_site
    with_site.close()
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
        for name in with_site.databases():
            if name.startswith(with_site.name + "_"):
                postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class Site:
    def __init__(self, url, folder, redis, monkeypatch):
        self.url, self.folder, self.redis, self.patch = url, folder, redis, monkeypatch
        self.data, self.backups = folder / "data", folder / "backups"
        self.data.mkdir()
        self.settings = {"DATABASE_URL": url, "REDIS_URL": redis, "DATA_DIR": str(self.data), **KEYS, **CHEAP_HASHES}
        for name, value in self.settings.items():
            monkeypatch.setenv(name, value)
        self.apps = []
        self.app = self.open()
        upgrade(self.app)

    @property
    def name(self):
        return make_url(self.url).database

    @property
    def is_sqlite(self):
        return self.url.startswith("sqlite")

    def open(self):
        self.apps.append(create_app(settings(self.data, **self.settings)))
        return self.apps[-1]

    def close(self):
        for app in self.apps:
            close(app)

    def reopen(self):
        """As the API does when it starts again."""
        self.close()
        self.app = self.open()
        return self.app

    def fill(self):
        """Accounts, deliveries with histories, messages, sessions, audit entries."""
        people = People(self.app)
        shop = people.customer()
        for number in range(3):
            delivery = shop.create(reference=f"A-{number}")
        shop.move(delivery, "cancelled")
        return shop

    def backup(self, *words):
        """Make a backup in this process, and return its folder."""
        self.patch.setattr(sys, "argv", ["backup.sh", "--to", str(self.backups), *map(str, words)])
        before = set(self.kept())
        make.main()
        (new,) = set(self.kept()) - before
        return self.backups / new

    def kept(self):
        return sorted(path.name for path in self.backups.glob("delivery-*"))

    def restore(self, folder, *words):
        """Restore in this process."""
        self.patch.setattr(sys, "argv", ["restore.sh", str(folder), *words])
        restore.main()

    def refuses(self, folder, *words):
        """What a restore says that must be refused, and the exit code, nothing having been touched."""
        before = self.rows(), self.databases(), self.listing()
        with pytest.raises(Failed) as refused:
            self.restore(folder, *words)
        assert (self.rows(), self.databases(), self.listing()) == before
        assert "\n" not in str(refused.value)
        return str(refused.value), refused.value.code

    def script(self, name, *words, **environ):
        """Run a script as an operator does."""
        command = [ROOT / "scripts" / name, *map(str, words)]
        given = {**os.environ, **environ}
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, env=given)

    def rows(self, url=None):
        return hashes_of(url or self.url)

    def databases(self):
        """Every database of the server, or every file beside the SQLite file."""
        if self.is_sqlite:
            return sorted(path.name for path in self.data.iterdir() if path.suffix not in {"", ".jsonl", ".env"})
        engine = create_engine(self.url)
        with engine.connect() as connection:
            names = connection.execute(text("SELECT datname FROM pg_database ORDER BY 1")).scalars().all()
        engine.dispose()
        return [name for name in names if name == self.name or name.startswith(f"{self.name}_")]

    def listing(self):
        """The application's files, with what is in them."""
        files = (path for path in self.data.glob("proofs/*") if path.is_file())
        return {path.name: path.read_bytes() for path in files}


def hashes_of(url):
    """A hash of every row of every table, sorted."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return {table: _hashes(connection, table) for table in inspect(engine).get_table_names()}
    finally:
        engine.dispose()


def _hashes(connection, table):
    found = connection.execute(text(f'SELECT * FROM "{table}"')).all()
    return sorted(hashlib.sha256(repr(tuple(row)).encode()).hexdigest() for row in found)
