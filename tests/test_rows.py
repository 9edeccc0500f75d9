"""What is written as one list is kept as if each row had been written alone, to the last byte."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from delivery.database import db, new_id, transaction
from delivery.deliveries.creating import create
from delivery.deliveries.models import Delivery, DeliveryEvent
from delivery.deliveries.schemas import DeliveryIn
from delivery.deliveries.states import State
from delivery.rows import execute, insertion
from delivery.web import Caller
from tests.factories import delivery_in

TIMES = [
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, 120, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]
WORDS = ["Ἀριάδνη 🚲", "a\\u0000 \\ \" ' %s :x $.x {}", "a\r\n\tb", "0042", "true", "null", "-", "1e3"]
INSERTION = insertion(Delivery.__table__)


@pytest.fixture
def template(app, api):
    """A delivery's columns."""
    with app.app_context(), transaction():
        made = create(Caller(id=UUID(api.user_id), role="customer"), **DeliveryIn().load(delivery_in()))
    return {column.name: getattr(made, column.name) for column in Delivery.__table__.columns}


def varied(template):
    """Rows with all kinds of values."""
    for number in range(8):
        place = {
            "line1": WORDS[number],
            "lat": [-90, 0.1, 1e-7, 53.80000000000001][number % 4],
            "x": None,
            "flag": True,
        }
        more = {"description": WORDS[number], "item_name": WORDS[-number], "destination": place, "version": number + 1}
        times = {"window_earliest": TIMES[number % 4], "picked_up_at": None, "updated_at": TIMES[-(number % 4)]}
        yield {**template, **more, **times, "status": State.PENDING}


def numbered(rows, prefix):
    """The same rows with keys of their own."""
    for number, row in enumerate(rows):
        yield {**row, "id": new_id(), "tracking_number": f"{prefix}{number:012}"}


def raw(prefix):
    """What the database keeps, as its driver gives it."""
    columns = ", ".join(
        f"typeof({one.name}), {one.name}" if db.engine.dialect.name == "sqlite" else f"{one.name}::text"
        for one in Delivery.__table__.columns
        if one.name not in {"id", "tracking_number"}
    )
    chosen = f"SELECT {columns} FROM deliveries WHERE tracking_number LIKE '{prefix}0%' ORDER BY tracking_number"
    return [tuple(row) for row in db.session.execute(text(chosen))]


def test_the_same_is_kept_as_by_an_ordinary_insert(app, template):
    rows = list(varied(template))
    with app.app_context():
        if db.engine.dialect.name == "postgresql":
            db.session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        for row in numbered(rows, "A"):
            db.session.execute(insert(Delivery.__table__), row)
        execute(INSERTION, numbered(rows, "B"))

        assert raw("A") == raw("B")
        assert len(raw("A")) == 8
        db.session.rollback()


def test_ids_are_kept_so_that_they_are_found(app, template):
    with app.app_context():
        [row] = numbered([template], "C")
        execute(INSERTION, [row])
        assert db.session.execute(select(Delivery.id).where(Delivery.id == row["id"])).scalar_one() == row["id"]
        db.session.rollback()


def test_what_the_database_refuses_is_refused_whole(app, template):
    bad = [*numbered([template], "D"), *numbered([{**template, "version": 0}], "E")]
    with app.app_context():
        with pytest.raises(IntegrityError, match="ck_deliveries_version"):
            execute(INSERTION, bad)
        db.session.rollback()
        assert raw("D") == []


def test_only_columns_that_can_be_written_are(app, template):
    with app.app_context():
        statement = str(insertion(DeliveryEvent.__table__)["sqlite"])
    assert "prev_seq" not in statement
