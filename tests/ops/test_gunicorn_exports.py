"""Exports over a real socket: who goes away takes no thread along, and what breaks off cannot be taken for whole."""

import csv
import http.client
import io
import sqlite3
from contextlib import closing, contextmanager

import pytest

from delivery.app import create_app
from delivery.ops.schema import upgrade
from tests.conftest import close, settings
from tests.factories import People
from tests.ops.test_gunicorn import Gunicorn
from tests.servers.waiting import wait_until

# Together more than both ends of a socket hold, so that the server waits for whoever does not read.
ROWS, LONG = 3_000, 6_000
PATH = "/api/deliveries/export.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def owner(folder):
    """A customer with many deliveries that have no history."""
    app = create_app(settings(folder))
    upgrade(app)
    owner = People(app).customer()
    owner.create()
    close(app)
    with database(folder) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info (deliveries)")]
        new = {"id": "printf('%032x', n)", "tracking_number": "printf('C%012d', n)"}
        new["description"] = f"printf('%.{LONG}c', 'x')"
        connection.execute(
            f"WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})"
            f" INSERT INTO deliveries ({', '.join(columns)})"
            f" SELECT {', '.join(new.get(name, name) for name in columns)} FROM deliveries, numbers"
        )
    return owner


@pytest.fixture(scope="module")
def server(folder, owner):
    """It has room for one export at a time."""
    server = Gunicorn(folder, "WEB_THREADS=2\n")
    yield server
    server.stop()


@contextmanager
def database(folder):
    with closing(sqlite3.connect(folder / "delivery.sqlite3")) as connection, connection:
        yield connection


def asked(server, owner):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", PATH, headers=owner.headers)
    response = connection.getresponse()
    if response.status == 200:
        return connection, response
    assert response.status == 503
    connection.close()
    return None


def soon(server, owner):
    """An export, as soon as there is room."""
    return wait_until(lambda: asked(server, owner), what="the freed thread", seconds=15)


def test_an_export_comes_whole(server, owner):
    connection, response = soon(server, owner)
    with closing(connection):
        assert (response.status, response.headers["Transfer-Encoding"]) == (200, "chunked")
        assert len(list(csv.DictReader(io.StringIO(response.read().decode(), newline="")))) == ROWS


def test_who_goes_away_leaves_the_thread_to_others(server, owner):
    connection, response = soon(server, owner)
    assert response.read(20).startswith(b"id,tracking_number,")
    assert asked(server, owner) is None  # the server waits for the one that does not read on
    connection.close()
    response.close()
    for one in soon(server, owner):
        one.close()


@pytest.fixture
def broken(folder, owner):
    """One of them cannot be read, until the end of the test."""
    write = "UPDATE deliveries SET destination = ? WHERE tracking_number = 'C000000001500'"
    with database(folder) as connection:
        connection.execute(write, ("{",))
    yield
    with database(folder) as connection:
        connection.execute(write, ("{}",))


@pytest.mark.usefixtures("broken")
def test_what_breaks_off_in_the_middle_has_no_end(server, owner):
    connection, response = soon(server, owner)
    with closing(connection), pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert response.status == 200
    assert cut.value.partial.startswith(b"id,tracking_number,")
    assert any("an export broke off" in line for line in server.lines())
