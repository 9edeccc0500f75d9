"""The history in partitions: the same rows, the same promises, and only the month that is asked for is read."""

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from delivery.app import create_app
from delivery.database import db, new_id, transaction
from delivery.deliveries import numbering
from delivery.ops import months, partitions
from tests.commands import run
from tests.conftest import close, settings
from tests.factories import People

DUMP = "SELECT md5(string_agg(t::text, E'\\n' ORDER BY delivery_id, seq)) FROM delivery_events t"
# Of checks the names: PostgreSQL spells their conditions anew each time it reads them.
ABOUT = {
    "constraints": (
        "SELECT conname || CASE WHEN contype = 'c' THEN '' ELSE pg_get_constraintdef(oid) END FROM pg_constraint"
        " WHERE conrelid = 'delivery_events'::regclass AND conparentid = 0"
    ),
    "references": (
        "SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE conparentid = 0"
        " AND confrelid = 'delivery_events'::regclass AND conrelid <> confrelid"
    ),
}


@pytest.fixture
def app(new_postgres_database, migrated, redis_server, tmp_path):
    """An app on a database of its own: a split table does not become whole again."""
    url = new_postgres_database(template=migrated)
    app = create_app(settings(tmp_path, DATABASE_URL=url, REDIS_URL=redis_server.url))
    yield app
    close(app)


def value(app, query, **values):
    with app.app_context(), transaction() as session:
        return session.execute(text(query), values).scalar()


def values(app, query):
    with app.app_context(), transaction() as session:
        return sorted(session.execute(text(query)).scalars())


def test_nothing_is_lost_or_changed_and_everything_goes_on(app):
    api = People(app).dispatcher()
    first = api.walk(api.create(), "picked_up", "in_transit")
    with app.app_context():
        numbering.number_new_events()
    before, about = value(app, DUMP), {what: values(app, query) for what, query in ABOUT.items()}

    rehearsed = run(app, "partitions", "create", "--dry-run")
    assert "3 events would be in partitions" in rehearsed.output
    assert not value(app, "SELECT relkind = 'p' FROM pg_class WHERE relname = 'delivery_events'")
    done = run(app, "partitions", "create")
    assert done.exit_code == 0, done.output

    assert value(app, DUMP) == before
    assert {what: values(app, query) for what, query in ABOUT.items()} == about
    assert value(app, "SELECT count(*) FROM delivery_events_other") == 0
    assert api.walk(first, "out_for_delivery", "delivered")["version"] == 5
    api.create()
    with app.app_context():
        assert numbering.number_new_events() == 3
    assert [event["seq"] for event in api.history(first)] == [1, 2, 3, 4, 5]
    assert len(api.get("/api/events").json["items"]) == 6
    assert "none" in run(app, "partitions", "create").output


def test_history_cannot_be_rewritten_by_any_name(app):
    api = People(app).customer()
    made = api.create()
    assert run(app, "partitions", "create").exit_code == 0
    month = value(app, "SELECT tableoid::regclass::text FROM delivery_events")
    for table in ("delivery_events", month):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET kind = 'edited'", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(IntegrityError) as caught:
                value(app, statement)
            assert isinstance(caught.value.orig, psycopg.errors.RestrictViolation), statement
    with pytest.raises(IntegrityError):  # the chain
        value(
            app,
            "INSERT INTO delivery_events"
            " (delivery_id, seq, kind, from_state, to_state, actor_type, occurred_at, recorded_at)"
            " SELECT delivery_id, 7, 'moved', 'pending', 'assigned', actor_type, occurred_at, recorded_at"
            " FROM delivery_events WHERE delivery_id = :id RETURNING seq",
            id=made["id"],
        )
    api.create()
    with app.app_context():
        assert numbering.number_new_events() == 2
    api.create()
    with pytest.raises(IntegrityError):  # a place in the feed that is given twice
        value(app, "UPDATE delivery_events SET position = 1 WHERE position IS NULL RETURNING 1")


def test_only_the_month_of_a_delivery_is_read(app):
    assert run(app, "partitions", "create").exit_code == 0
    with app.app_context():
        assert len(months.partitions(db.session(), "delivery_events")) == months.AHEAD_MONTHS + 2
        db.session.remove()
    plan = values(app, f"EXPLAIN SELECT * FROM delivery_events WHERE delivery_id = '{new_id()}'")
    assert sum("delivery_events_" in line and "Scan" in line for line in plan) == 1, plan


def test_the_months_to_come_are_made_by_cron_and_empty_ones_can_be_dropped(app, travel):
    assert run(app, "partitions", "create").exit_code == 0
    People(app).customer().create()
    travel(days=40)
    with app.app_context(), transaction():
        partitions.keep_ahead(1000)
    names = values(
        app, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'delivery_events'::regclass"
    )
    assert len(names) >= months.AHEAD_MONTHS + 3
    last = [name for name in names if name[-1].isdigit()][-1]
    # The new one holds what the others hold.
    with pytest.raises(IntegrityError):
        value(app, f"TRUNCATE {last} CASCADE")
    month = last.removeprefix("delivery_events_").replace("_", "-")
    assert run(app, "partitions", "drop", month).exit_code == 0
    assert run(app, "partitions", "drop", month).exit_code == 1
    held = value(app, "SELECT tableoid::regclass::text FROM delivery_events").removeprefix("delivery_events_")
    refused = run(app, "partitions", "drop", held.replace("_", "-"))
    assert refused.exit_code == 1
    assert "holds events" in refused.output


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_has_none(make_app):
    refused = run(make_app(), "partitions", "create")
    assert (refused.exit_code, refused.stderr) == (1, "Error: SQLite has no partitions.\n")
