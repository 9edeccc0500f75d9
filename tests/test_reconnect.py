"""PostgreSQL's connections, and its restarts: whoever asks next gets an answer, from a connection that is new."""

from uuid import UUID

import pytest
from sqlalchemy import insert, text

from delivery import clock
from delivery.database import db, reader, transaction
from delivery.idempotency import IdempotencyKey
from tests.conftest import close
from tests.factories import delivery_in
from tests.servers.waiting import wait_until
from tests.web.racing import race

# SQLite has no connections to lose.
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
# Of clients: the server's own workers, such as autovacuum's, come and go as they like.
OTHERS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


@pytest.fixture
def server(postgres_template):
    """A connection that is not the app's."""
    return postgres_template[1]


def hang_up(server):
    """End the app's connections, as a restart does; how many there were."""
    return len(server.execute(f"SELECT pg_terminate_backend(pid, 5000) {OTHERS}").fetchall())


def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used(api, server):
    delivery = api.create()
    assert hang_up(server) >= 2
    assert api.get(f"/api/deliveries/{delivery['id']}").status_code == 200
    assert hang_up(server) >= 1
    assert api.post("/api/deliveries", json=delivery_in()).status_code == 201


def test_a_connection_that_only_rested_is_kept(app, api, server):
    close(app)  # the pools may hold some that another test has cut
    api.create()
    before = server.execute(f"SELECT pid {OTHERS} ORDER BY pid").fetchall()
    api.create()
    assert server.execute(f"SELECT pid {OTHERS} ORDER BY pid").fetchall() == before


def test_a_connection_that_is_lost_while_a_key_waits_for_its_twin_is_a_503(app, api, server):
    def ask():
        return api.post("/api/deliveries", json=delivery_in(), headers={"Idempotency-Key": "k"})

    def cut():
        waiting = f"SELECT pg_terminate_backend(pid) {OTHERS} AND wait_event_type = 'Lock'"
        wait_until(lambda: server.execute(waiting).fetchall(), what="a key that waits", seconds=5)

    row = {"caller_id": UUID(api.user_id), "key": "k", "fingerprint": b"", "created_at": clock.now()}
    with app.app_context(), db.engine.connect() as twin:
        twin.execute(insert(IdempotencyKey).values(row))
        response, _ = race(ask, cut)
    assert (response.status_code, response.json["code"]) == (503, "unavailable")
    assert ask().status_code == 201


def test_every_connection_brings_its_settings(app):
    named = ("timezone", "statement_timeout", "lock_timeout", "max_parallel_workers_per_gather")
    with app.app_context(), transaction() as session:
        for connection in (reader(), session):
            shown = [connection.execute(text(f"SHOW {name}")).scalar_one() for name in named]
            assert shown == ["UTC", "15s", "2s", "0"]
