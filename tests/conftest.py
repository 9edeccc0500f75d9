"""What most tests stand on: the app on either database, a client, people, and what was sent to them."""

import shutil
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import event, func, select

from config import Config
from delivery import clock, logs
from delivery.app import create_app
from delivery.database import db
from delivery.ops.schema import upgrade
from tests.factories import People

pytest_plugins = ["tests.servers.fixtures", "tests.partitions"]

# One hash costs microseconds instead of 20 ms; tests/users/test_passwords.py holds the real figures.
CHEAP_HASHES = {"ARGON2_MEMORY_KIB": "128", "ARGON2_TIME_COST": "1"}
# All tests ask from one address and write to one number; test_throttle.py and test_sms_limit.py hold the real figures.
WIDE_LIMITS = {
    "API_REQUESTS_PER_MINUTE": "1000000",
    "ANONYMOUS_REQUESTS_PER_MINUTE": "1000000",
    "SMS_PER_NUMBER_PER_DAY": "1000",
}


# Tests ask from many addresses; tests/ops/test_metrics.py asks without it, too.
METRICS_TOKEN = "metrics-for-tests-0c1d"


@pytest.hookimpl(trylast=True)  # after -k has left its choice
def pytest_collection_modifyitems(items):
    """Have coverage look at what runs on both databases once: it takes two thirds more time for the same lines."""
    names = {item.nodeid for item in items}
    for item in items:
        twin = item.nodeid.replace("sqlite", "postgresql")
        if twin != item.nodeid and twin in names:
            item.add_marker("no_cover")


def settings(folder, **more):
    """The environment of a test app."""
    fixed = {
        "DATA_DIR": str(folder),
        "ENVIRONMENT": "development",
        "LOG_FORMAT": "json",
        "METRICS_TOKEN": METRICS_TOKEN,
    }
    given = {**fixed, **CHEAP_HASHES, **WIDE_LIMITS, **more}
    return Config(environ={name: str(value) for name, value in given.items()})


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """A migrated SQLite database to copy: quicker than migrating for each test."""
    folder = tmp_path_factory.mktemp("template")
    migrate(folder)
    return folder / "delivery.sqlite3"


@pytest.fixture(scope="session")
def postgres_template(postgres, tmp_path_factory):
    """A migrated PostgreSQL database of this worker, and a connection to empty it by."""
    with postgres.database() as url:
        migrate(tmp_path_factory.mktemp("postgres"), DATABASE_URL=url)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, application_name="cleaner") as connection:
            # Off with the triggers that guard the history, as only a superuser can do.
            connection.execute("SET session_replication_role = replica")
            yield url, connection


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """The URL of a migrated, empty database; each test that asks for it runs on both."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        path = template.with_name("test.sqlite3")
        for old in path.parent.glob(f"{path.name}*"):  # unlinked, so that nobody who holds it open still writes to ours
            old.unlink()
        shutil.copy(template, path)
        yield f"sqlite:///{path}"
        return
    url, connection = request.getfixturevalue("postgres_template")
    yield url
    clear(connection)


# What the triggers of search would have written, for rows that were made without them.
SEARCHED = """
    INSERT INTO delivery_search SELECT id, owner_id, test,
        delivery_search_words(tracking_number, reference, recipient_name, recipient_phone) FROM deliveries ORDER BY id
"""


def rows(app, model):
    """How many rows a table has."""
    with app.app_context():
        return db.session.execute(select(func.count()).select_from(model)).scalar_one()


def clear(connection):
    """Delete all rows, by a connection without triggers; for a few of them that is ten times as quick as TRUNCATE."""
    tables = [*(table.name for table in db.metadata.sorted_tables), "delivery_search"]
    connection.execute("; ".join(f"DELETE FROM {name}" for name in tables))


def migrate(folder, **more):
    """Bring a database up to date, and leave nobody connected to it."""
    app = create_app(settings(folder, **more))
    upgrade(app)
    close(app)


def close(app):
    with app.app_context():
        db.engine.dispose()
        app.extensions["delivery.read_engine"].dispose()


@pytest.fixture
def make_app(database_url, redis_server, tmp_path):
    """Call it with settings for another app on this test's database; all are closed after the test."""
    apps = []

    def make(**more):
        given = {"DATABASE_URL": database_url, "REDIS_URL": redis_server.url, **more}
        app = create_app(settings(tmp_path, **given))
        app.testing = False  # errors are answered as in production
        apps.append(app)
        return app

    yield make
    for app in apps:
        close(app)


@pytest.fixture(scope="session")
def lasting_apps():
    """An app for each database, by URL: to build one and to compile its statements takes longer than most tests."""
    apps = {}
    yield apps
    for app in apps.values():
        close(app)


@pytest.fixture
def app(lasting_apps, database_url, redis_server, tmp_path):
    """The app with a test's usual settings, as if it were new: what a test changes of it is undone."""
    given = settings(tmp_path, DATABASE_URL=database_url, REDIS_URL=redis_server.url)
    app = lasting_apps.get(database_url) or lasting_apps.setdefault(database_url, create_app(given))
    before = [(kept, kept.copy()) for kept in (app.config, app.extensions)]
    app.config.from_object(given)
    logs.init_app(app)  # another app may have set levels and form since
    app.testing = False  # errors are answered as in production
    yield app
    for kept, values in before:
        kept.clear()
        kept.update(values)
    rest(app)


def rest(app):
    """See that a test gave all connections back; those to SQLite go, as their file does, and those to Redis."""
    with app.app_context():
        engines = [db.engine, app.extensions["delivery.read_engine"]]
    assert [engine.pool.checkedout() for engine in engines] == [0, 0]
    redis = app.extensions["delivery.redis"]
    # RQ's Worker, once it has seen a client, has it wait for minutes.
    assert redis.client.connection_pool.connection_kwargs["socket_timeout"] < 1
    # It may have lost its server, or have given it up for a while
    redis.client.connection_pool.disconnect()
    redis.closed_until = 0.0
    if engines[0].dialect.name == "sqlite":
        close(app)


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def people(app):
    """Accounts in the database, signed in: people.customer(), people.courier(), ..."""
    return People(app)


@pytest.fixture
def api(client, people):
    """A signed-in customer's view of the API."""
    return people.customer()


@pytest.fixture(autouse=True)
def real_clock():
    """Time that a test moved goes back after it."""
    yield
    clock.offset = timedelta()


@pytest.fixture
def travel():
    """Call it with a timedelta's arguments to move both clocks: this process's and the database's."""

    def move(**duration):
        clock.offset += timedelta(**duration)

    return move


@contextmanager
def counted(app):
    """Count the statements that both engines run: `with counted(app) as statements: ...`."""
    statements = []

    def note(_connection, _cursor, statement, *_):
        statements.append(statement)

    with app.app_context():
        engines = [db.engine, app.extensions["delivery.read_engine"]]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def count_statements(app):
    return lambda: counted(app)
