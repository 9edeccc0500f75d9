"""Behind PgBouncer in transaction mode: nobody's prepared statement, time-out or session is somebody else's."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import make_url, text

from delivery.database import reader, transaction
from tests.factories import People, delivery_in
from tests.servers.pgbouncer import PORT, binary, pgbouncer

pytestmark = [
    pytest.mark.skipif(binary() is None, reason="no pgbouncer: install Debian's, or name one in TEST_PGBOUNCER"),
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
]
# Fewer than those who ask at once.
SERVER_CONNECTIONS, AT_ONCE, ROUNDS = 3, 12, 5
SETTINGS = (
    "timezone = 'UTC'",
    "statement_timeout = '15s'",
    "lock_timeout = '2s'",
    "max_parallel_workers_per_gather = 0",
)


@pytest.fixture
def pooled(make_app, database_url, postgres):
    name = make_url(database_url).database
    for setting in SETTINGS:  # of sessions that begin from now on, as docs/scaling.md tells
        postgres.execute(f'ALTER DATABASE "{name}" SET {setting}')
    with pgbouncer(postgres, server_connections=SERVER_CONNECTIONS) as folder:
        url = f"postgresql+psycopg://postgres@/{name}?host={folder}&port={PORT}"
        yield make_app(DATABASE_URL=url, DB_POOLER="true", DB_POOL_SIZE=AT_ONCE)
    postgres.execute(f'ALTER DATABASE "{name}" RESET ALL')


def work(api):
    """What one of many does: each answer is as if they were alone."""
    for _ in range(ROUNDS):
        made = api.create()
        assert (
            api.patch(
                f"/api/deliveries/{made['id']}", json={"description": "Wet"}, headers={"If-Match": '"1"'}
            ).status_code
            == 200
        )
        assert api.move(made, "cancelled").status_code == 200
        assert [event["seq"] for event in api.history(made)] == [1, 2, 3]
        assert api.get("/api/deliveries").json["items"][0]["id"] == made["id"]
    return True


def test_many_clients_share_few_connections_without_a_failure(pooled, database_url):
    people = People(pooled)
    apis = [people.customer() for _ in range(AT_ONCE)]
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert all(pool.map(work, apis))
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert connection.execute(f"{query} AND application_name = ''").fetchone()[0] <= SERVER_CONNECTIONS
    with pooled.app_context():
        clients = pooled.extensions["delivery.read_engine"].pool
        assert clients.checkedin() > SERVER_CONNECTIONS
    assert apis[0].post("/api/deliveries", json=delivery_in(), headers={"Idempotency-Key": "one"}).status_code == 201


def test_the_settings_of_the_database_stand_in_for_those_of_the_session(pooled):
    with pooled.app_context():
        shown = [reader().execute(text(f"SHOW {name}")).scalar_one() for name in ("timezone", "statement_timeout")]
        with transaction() as session:
            shown.append(session.execute(text("SHOW lock_timeout")).scalar_one())
            shown.append(session.execute(text("SHOW transaction_read_only")).scalar_one())
    assert shown == ["UTC", "15s", "2s", "off"]
