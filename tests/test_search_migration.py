"""The migration of search: it finds what was there before, and is whole after it was broken off."""

import importlib
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from psycopg.errors import QueryCanceled

from delivery.app import create_app
from delivery.database import db
from delivery.ops.schema import upgrade
from tests.commands import run
from tests.conftest import close, settings
from tests.factories import People
from tests.servers.waiting import wait_until

MIGRATION = "migrations.versions.20261127_1600_grams"
BEFORE, SEARCH = "c07f4d9be3a6", "4e9a7c1d05b8"


@pytest.fixture
def url(new_postgres_database):
    return new_postgres_database()


@pytest.fixture
def owner(url):
    """A connection of the database's owner."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def app(tmp_path, url):
    """The app on the schema before this search."""
    app = create_app(settings(tmp_path, DATABASE_URL=url))
    upgrade(app, revision=BEFORE)
    yield app
    close(app)


def found(who, q):
    return [one["item_name"] for one in who.get("/api/deliveries", query_string={"q": q}).json["items"]]


def test_what_was_there_before_is_found_and_what_is_deleted_is_not(app, owner):
    customer = People(app).customer()
    customer.create(item_name="lamp", recipient={"name": "Łukasz Weatherby"})
    gone = customer.create(item_name="chair", recipient={"name": "Ann Weatherby"})
    customer.delete(f"/api/deliveries/{gone['id']}", headers={"If-Match": '"1"'})

    assert run(app, "db", "upgrade").exit_code == 0

    assert found(customer, "weather") == ["lamp"]
    (words,) = owner.execute("SELECT words FROM delivery_search").fetchone()
    assert "łukasz weatherby" in words
    assert run(app, "db", "downgrade", BEFORE).exit_code == 0
    assert owner.execute("SELECT proname FROM pg_proc WHERE proname LIKE 'delivery_search%'").fetchall() == []
    assert run(app, "db", "upgrade").exit_code == 0
    assert found(customer, "weather") == ["lamp"]


def test_a_migration_that_was_broken_off_is_finished_by_the_next(app, owner, url):
    """Where the build of its index was ended, everything else stands already, and the index is of no use."""
    customer = People(app).customer()
    customer.create(item_name="lamp", recipient={"name": "Łukasz Weatherby"})
    assert run(app, "db", "upgrade", SEARCH).exit_code == 0
    (build,) = owner.execute("SELECT pg_get_indexdef('ix_delivery_search'::regclass)").fetchone()
    owner.execute(f"UPDATE alembic_version SET version_num = '{BEFORE}'; DROP INDEX ix_delivery_search")
    with psycopg.connect(url.replace("+psycopg", "")) as writer:
        writer.execute("LOCK TABLE delivery_search IN ROW EXCLUSIVE MODE")  # a build waits for whoever may be writing
        owner.execute("SET statement_timeout = '100ms'")
        with pytest.raises(QueryCanceled):
            owner.execute(build.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY"))
    owner.execute("RESET statement_timeout; DELETE FROM delivery_search")
    whole = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_delivery_search'::regclass"
    assert owner.execute(whole).fetchone() == (False,)

    assert run(app, "db", "upgrade", SEARCH).exit_code == 0

    assert owner.execute(whole).fetchone() == (True,)
    assert owner.execute("SELECT pg_get_indexdef('ix_delivery_search'::regclass)").fetchone() == (build,)
    assert found(customer, "weather") == ["lamp"]


def test_an_index_whose_build_broke_off_is_made_anew(tmp_path, owner, url):
    app = create_app(settings(tmp_path, DATABASE_URL=url))
    upgrade(app, revision="6b0e94d1c7f2")
    with psycopg.connect(url.replace("+psycopg", "")) as writer:
        writer.execute("LOCK TABLE deliveries IN ROW EXCLUSIVE MODE")  # a build waits for whoever may be writing
        owner.execute("SET statement_timeout = '100ms'")
        with pytest.raises(QueryCanceled):
            owner.execute("CREATE INDEX CONCURRENTLY ix_deliveries_reference ON deliveries (reference)")
    owner.execute("RESET statement_timeout")
    query = "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'deliveries'::regclass"
    assert {name for name, whole in owner.execute(query) if not whole} == {"ix_deliveries_reference"}

    assert run(app, "db", "upgrade", "b81d5f27c9e4").exit_code == 0

    assert all(dict(owner.execute(query).fetchall()).values())
    assert owner.execute("SELECT version_num FROM alembic_version").fetchone() == ("b81d5f27c9e4",)
    close(app)


@pytest.mark.parametrize("made", range(4))
def test_what_happens_between_one_trigger_and_the_next_is_not_lost(app, owner, made):
    """Each comes by a transaction of its own, and may have to wait for the next."""
    migration = importlib.import_module(MIGRATION)
    customer = People(app).customer()
    renamed, gone = (customer.create(item_name=name, recipient={"name": "Ann Weatherby"}) for name in ("lamp", "chair"))
    owner.execute(
        "CREATE TABLE delivery_search (delivery_id uuid PRIMARY KEY, owner_id uuid, test boolean, words text)"
    )
    for statement in (*migration.FUNCTIONS, *migration.TRIGGERS[:made]):
        owner.execute(statement)
    late = customer.create(item_name="late", recipient={"name": "Ann Weatherby"})
    for one in (renamed, late):
        changed = customer.patch(
            f"/api/deliveries/{one['id']}", json={"recipient": {"name": "Ann Other"}}, headers={"If-Match": '"1"'}
        )
        assert changed.status_code == 200, changed.text
    customer.delete(f"/api/deliveries/{gone['id']}", headers={"If-Match": '"1"'})

    assert run(app, "db", "upgrade").exit_code == 0

    assert found(customer, "weatherby") == []
    assert found(customer, "other") == ["late", "lamp"]
    assert owner.execute("SELECT count(*) FROM delivery_search").fetchone() == (2,)


def test_rows_are_written_whatever_the_search_path_is(app, owner):
    """As by pg_restore, which empties it."""
    run(app, "db", "upgrade", SEARCH)
    customer = People(app).customer()
    lamp = customer.create(item_name="lamp", recipient={"name": "Ann Weatherby"})
    owner.execute("SET search_path = ''")
    owner.execute("UPDATE public.deliveries SET recipient_name = 'Ann Other' WHERE id = %s", (lamp["id"],))
    assert found(customer, "other") == ["lamp"]
    assert found(customer, "weatherby") == []


def test_what_is_deleted_while_the_rows_are_written_is_not_found_again(app, owner, url):
    customer = People(app).customer()
    lamp = customer.create(item_name="lamp", recipient={"name": "Łukasz Weatherby"})
    run(app, "db", "upgrade", SEARCH)
    owner.execute("TRUNCATE delivery_search")
    fill = importlib.import_module(MIGRATION).FILL
    with psycopg.connect(url.replace("+psycopg", "")) as deleting, ThreadPoolExecutor(1) as pool, app.app_context():
        deleting.execute("UPDATE deliveries SET deleted_at = now() WHERE id = %s", (lamp["id"],))
        engine = db.engine
        written = pool.submit(lambda: _run(engine, fill))
        wait_until(lambda: owner.execute(_WAITING).fetchone() == (1,), what="the rows to be waited for")
        deleting.commit()
        assert written.result(timeout=10) is None

    assert owner.execute("SELECT count(*) FROM delivery_search").fetchone() == (0,)


_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def _run(engine, fill):
    with engine.begin() as connection:
        return connection.execute(fill, {"after": UUID(int=0)}).scalar_one_or_none()
