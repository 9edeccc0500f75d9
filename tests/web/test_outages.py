"""When the database cannot do what it should: 503 with Retry-After, never 500, and nothing of its text."""

import psycopg
import pytest
from sqlalchemy import text

from delivery.database import db
from tests.factories import delivery_in


def refused(response):
    assert response.status_code == 503, response.text
    assert int(response.headers["Retry-After"]) > 0
    assert response.mimetype == "application/problem+json"
    assert response.json["code"] == "unavailable"


@pytest.fixture
def postgres_only(database_url):
    if not database_url.startswith("postgresql"):
        pytest.skip("a state that only PostgreSQL knows")
    return database_url.replace("+psycopg", "")


def test_a_database_that_is_read_only_after_a_fail_over(app, api, postgres_only):
    with psycopg.connect(postgres_only, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        try:
            with app.app_context():
                db.engine.dispose()
            refused(api.post("/api/deliveries", json=delivery_in()))
            assert api.get("/api/deliveries").status_code == 200
        finally:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
            with app.app_context():
                db.engine.dispose()


def test_tables_that_are_not_there_yet(app, api):
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE deliveries RENAME TO elsewhere"))
    try:
        refused(api.get("/api/deliveries"))
    finally:
        with app.app_context(), db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO deliveries"))


def test_connections_that_a_restart_closed_are_replaced(app, api, postgres_only):
    assert api.get("/api/deliveries").status_code == 200
    with psycopg.connect(postgres_only, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'cleaner'"
        )

    assert api.get("/api/deliveries").status_code == 200
    assert api.post("/api/deliveries", json=delivery_in()).status_code == 201
