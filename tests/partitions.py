"""A database in partitions as pytest fixtures: split once, emptied after each test."""

import psycopg
import pytest
from sqlalchemy import make_url

from delivery.app import create_app
from tests.commands import run
from tests.conftest import clear, close, migrate, settings


@pytest.fixture(scope="session")
def migrated(postgres, tmp_path_factory):
    """The name of a migrated database that nobody is connected to, to make others like it."""
    with postgres.database() as url:
        migrate(tmp_path_factory.mktemp("migrated"), DATABASE_URL=url)
        yield make_url(url).database


@pytest.fixture(scope="session")
def split_database(postgres, migrated, tmp_path_factory):
    """One whose history and outbox are split, and a connection to empty it by."""
    with postgres.database(template=migrated) as url:
        app = create_app(settings(tmp_path_factory.mktemp("split"), DATABASE_URL=url))
        for what in ("history", "outbox"):
            done = run(app, "partitions", "create", "--of", what)
            assert done.exit_code == 0, done.output
        close(app)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            yield url, connection


@pytest.fixture
def split_url(split_database):
    url, connection = split_database
    yield url
    clear(connection)
