"""A migration and those who serve meanwhile: nobody waits long for it, and it waits long for nobody."""

import threading
import time

import psycopg
import pytest
from sqlalchemy import text

from delivery.app import create_app
from delivery.database import db
from delivery.ops import schema
from delivery.ops.schema import upgrade
from tests.conftest import close, settings
from tests.factories import People

# An expansion that takes its time in the middle of its transaction, with the lock of ADD COLUMN long gone by.
SLOW = """
from alembic import op
import sqlalchemy as sa
revision = "aaaa00000001"
down_revision = "{head}"
branch_labels = depends_on = None


def upgrade():
    op.execute("SELECT pg_sleep(1.5)")
    op.create_table("expansions", sa.Column("id", sa.Integer(), primary_key=True))
    with op.get_context().autocommit_block():
        op.create_index("ix_expansion", "deliveries", ["item_name"], postgresql_concurrently=True, if_not_exists=True)
    op.execute("SELECT pg_sleep(0.5)")
    op.add_column("deliveries", sa.Column("expansion", sa.Text(), nullable=True))
"""
# One that asks for a lock at once.
IN_A_HURRY = (
    SLOW.partition("def upgrade")[0]
    + """def upgrade():
    op.create_table("expansions", sa.Column("id", sa.Integer(), primary_key=True))
    op.add_column("deliveries", sa.Column("expansion", sa.Text(), nullable=True))
"""
)


@pytest.fixture
def live(new_postgres_database, redis_server, tmp_path):
    """The app on a migrated database of its own, and what upgrades it by one more migration of the test's."""
    url = new_postgres_database()
    given = {"DATABASE_URL": url, "REDIS_URL": redis_server.url, "MIGRATION_LOCK_TIMEOUT_SECONDS": "1"}
    app = create_app(settings(tmp_path, **given))
    upgrade(app)
    apps = [app]

    def migrate(body):
        folder = schema.MIGRATIONS / "versions"
        other = create_app(settings(tmp_path, **given))
        apps.append(other)
        with other.app_context():
            head = db.session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            db.session.rollback()
        (tmp_path / "more").mkdir(exist_ok=True)
        (tmp_path / "more" / "one.py").write_text(body.format(head=head))
        schema.prepare(other).configure(lambda config: _with(config, f"{folder} {tmp_path / 'more'}"))
        upgrade(other)

    yield app, url.replace("+psycopg", ""), migrate
    for one in apps:
        close(one)


def _with(config, locations):
    config.set_main_option("version_locations", locations)
    config.set_main_option("path_separator", "space")
    return config


def test_the_release_before_serves_all_the_while(live):
    """Every request of a client in a loop succeeds, and soon, while a long expansion runs."""
    app, _, migrate = live
    shop = People(app).customer()
    done, taken, failures = threading.Event(), [], []

    def ask():
        while not done.is_set():
            began = time.monotonic()
            try:
                delivery = shop.create()
                read = shop.get(f"/api/deliveries/{delivery['id']}")
                assert read.status_code == 200, read.text
            except AssertionError as failure:
                failures.append(failure)
            taken.append(time.monotonic() - began)

    client = threading.Thread(target=ask)
    client.start()
    try:
        migrate(SLOW)
    finally:
        done.set()
        client.join()
    assert failures == []
    assert len(taken) > 20
    assert max(taken) < 2
    with app.app_context():
        assert db.session.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "aaaa00000001"
    assert shop.create(), "and on the newer schema"


def test_a_migration_that_cannot_get_its_lock_gives_up_and_the_app_goes_on(live, monkeypatch, capfd):
    app, url, migrate = live
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    shop = People(app).customer()
    with psycopg.connect(url) as reader:
        reader.execute("SELECT 1 FROM deliveries")  # a report that somebody left open
        with pytest.raises(SystemExit) as gone:
            migrate(IN_A_HURRY)
        assert gone.value.code == 75
        assert "the schema is as it was: a lock was not to be had" in capfd.readouterr().err
        assert shop.create()
    with app.app_context():
        assert db.session.execute(text("SELECT to_regclass('expansions')")).scalar_one() is None
        locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
                     "(SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip
        assert db.session.execute(locks).scalar_one() == 0, "the next one need not wait"
