"""/healthz and /readyz: what they say when parts are down, behind or ahead."""

import time
from threading import Event

import pytest
from sqlalchemy import text

from delivery.app import create_app
from delivery.database import db
from delivery.ops import health, schema
from tests.conftest import close, settings


def set_revision(app, revision):
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


@pytest.fixture
def revision(app):
    """The revision of the database, restored after the test."""
    with app.app_context(), db.engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    yield found
    set_revision(app, found)


@pytest.fixture
def two_revisions(revision, tmp_path, monkeypatch):
    """The database is at the newest of two revisions."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "1.py").write_text('revision = "old1"\ndown_revision = None\n')
    (tmp_path / "versions" / "2.py").write_text(f'revision = "{revision}"\ndown_revision = "old1"\n')
    monkeypatch.setattr(schema, "MIGRATIONS", tmp_path)
    schema._older.cache_clear()
    yield
    schema._older.cache_clear()


def test_the_process_answers(client):
    response = client.get("/healthz")

    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_ready(client):
    response = client.get("/readyz")

    assert (response.status_code, response.json) == (200, {"status": "ready", "degraded": []})


def test_without_redis_it_is_ready_but_says_so(client, redis_server):
    redis_server.kill()
    try:
        response = client.get("/readyz")
    finally:
        redis_server.start()

    assert (response.status_code, response.json) == (200, {"status": "ready", "degraded": ["redis"]})


def test_behind_the_code_is_not_ready(app, client, two_revisions):
    set_revision(app, "old1")

    response = client.get("/readyz")

    assert (response.status_code, response.json["status"]) == (503, "migrating")
    assert int(response.headers["Retry-After"]) > 0


def test_ahead_of_the_code_is_ready(app, client, two_revisions):
    """While a release rolls, the one before serves on the newer schema."""
    set_revision(app, "from_the_future")

    assert client.get("/readyz").status_code == 200


def test_a_database_that_hangs_is_down_in_time(app, client, monkeypatch):
    """As one that was stopped, or is behind a network that swallows packets."""
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.2)
    freed, looks = Event(), []

    def hang():
        looks.append(1)
        freed.wait(10)
        return "ready"

    with monkeypatch.context() as patched:
        patched.setattr(health, "database_status", hang)
        began = time.monotonic()
        for _ in range(2):
            response = client.get("/readyz")
            assert (response.status_code, response.json["status"]) == (503, "database_down")
        assert time.monotonic() - began < 2
        assert len(looks) == 1, "nobody else waits with a connection in hand"
        freed.set()
        app.extensions["delivery.look"].join()
    assert client.get("/readyz").status_code == 200


def test_no_tables_yet(tmp_path, redis_server):
    app = create_app(settings(tmp_path, REDIS_URL=redis_server.url))

    response = app.test_client().get("/readyz")

    close(app)
    assert (response.status_code, response.json["status"]) == (503, "migrating")


def test_no_database(tmp_path, redis_server, new_postgres_database):
    url = new_postgres_database().replace("/test_", "/gone_")
    app = create_app(settings(tmp_path, DATABASE_URL=url, REDIS_URL=redis_server.url))

    response = app.test_client().get("/readyz")

    close(app)
    assert (response.status_code, response.json["status"]) == (503, "database_down")
