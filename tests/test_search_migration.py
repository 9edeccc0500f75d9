"""The migration of search: one line where the extension is refused, on without it, whole after a broken-off build."""

import psycopg
import pytest
from psycopg.errors import QueryCanceled
from sqlalchemy.engine import make_url

from delivery.app import create_app
from delivery.ops.schema import upgrade
from tests.commands import run
from tests.conftest import close, settings
from tests.factories import People

BEFORE, SEARCH = "6b0e94d1c7f2", "b81d5f27c9e4"


@pytest.fixture
def url(new_postgres_database):
    return new_postgres_database()


@pytest.fixture
def owner(url):
    """A connection of the database's owner."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def app_of(tmp_path):
    """Call it with a URL for an app whose schema is the one before search."""
    apps = []

    def make(url):
        apps.append(create_app(settings(tmp_path, DATABASE_URL=url)))
        upgrade(apps[-1], revision=BEFORE)
        return apps[-1]

    yield make
    for app in apps:
        close(app)


def indexes(owner):
    """The indexes of deliveries, and whether each is whole."""
    query = "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'deliveries'::regclass"
    return dict(owner.execute(query).fetchall())


def revision(owner):
    return owner.execute("SELECT version_num FROM alembic_version").fetchone()[0]


@pytest.fixture
def role(owner):
    """A role that may make tables, but no extension."""
    owner.execute("DROP ROLE IF EXISTS nobody_much")
    owner.execute("CREATE ROLE nobody_much LOGIN; GRANT ALL ON SCHEMA public TO nobody_much")
    yield "nobody_much"
    owner.execute("DROP OWNED BY nobody_much; DROP ROLE nobody_much")


def test_a_role_that_may_not_make_the_extension_is_told_so_in_one_line(url, owner, app_of, role):
    app = app_of(make_url(url).set(username=role).render_as_string())
    before = indexes(owner)

    done = run(app, "db", "upgrade")

    said = done.output.splitlines()
    assert (done.exit_code, len(said)) == (1, 1), done.output
    assert "the schema is as it was" in said[0]
    assert "CREATE EXTENSION pg_trgm" in said[0]
    assert (revision(owner), indexes(owner)) == (BEFORE, before)
    owner.execute("CREATE EXTENSION pg_trgm")
    assert run(app, "db", "upgrade").exit_code == 0
    assert indexes(owner)["ix_deliveries_search"]


def test_without_the_extension_search_reads_the_table(url, owner, app_of):
    """As on a server without PostgreSQL's contrib: the list of what is there has no pg_trgm."""
    app = app_of(url)
    there = "CREATE VIEW public.pg_available_extensions AS SELECT * FROM pg_catalog.pg_available_extensions"
    owner.execute(f"{there} WHERE name <> 'pg_trgm'")
    owner.execute(f"ALTER DATABASE {make_url(url).database} SET search_path = public, pg_catalog")
    close(app)

    done = run(app, "db", "upgrade")

    assert done.exit_code == 0, done.output
    assert "Warning: this server has no pg_trgm" in done.stderr
    assert "ix_deliveries_search" not in indexes(owner)
    customer = People(app).customer()
    customer.create(item_name="lamp", recipient={"name": "Łukasz Weatherby"})
    found = customer.get("/api/deliveries?q=weather").json["items"]
    assert [one["item_name"] for one in found] == ["lamp"]
    assert customer.get("/api/deliveries?q=leather").json["items"] == []


def test_an_index_whose_build_broke_off_is_made_anew(url, owner, app_of):
    app = app_of(url)
    owner.execute("CREATE EXTENSION pg_trgm")
    with psycopg.connect(url.replace("+psycopg", "")) as writer:
        writer.execute("LOCK TABLE deliveries IN ROW EXCLUSIVE MODE")  # a build waits for whoever may be writing
        owner.execute("SET statement_timeout = '100ms'")
        for index in ("reference ON deliveries (reference)", "search ON deliveries (tracking_number)"):
            with pytest.raises(QueryCanceled):
                owner.execute(f"CREATE INDEX CONCURRENTLY ix_deliveries_{index}")
    owner.execute("RESET statement_timeout")
    broken = {name for name, whole in indexes(owner).items() if not whole}
    assert broken == {"ix_deliveries_reference", "ix_deliveries_search"}

    assert run(app, "db", "upgrade", SEARCH).exit_code == 0

    assert all(indexes(owner).values())
    (made,) = owner.execute("SELECT pg_get_indexdef('ix_deliveries_search'::regclass)").fetchone()
    assert "gin_trgm_ops" in made
    assert revision(owner) == SEARCH
