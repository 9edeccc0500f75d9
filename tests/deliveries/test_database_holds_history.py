"""The database itself refuses what would break a history, by whichever hand: raw SQL on both."""

from uuid import UUID

import pytest
from sqlalchemy import Uuid, literal, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from delivery import clock
from delivery.database import db, new_id
from delivery.deliveries.models import Delivery, DeliveryEvent
from tests.deliveries.chains import broken

NOBODYS = UUID("0190a0a0-0000-7000-8000-000000000000")
EVENTS, DELIVERIES = DeliveryEvent.__table__, Delivery.__table__


@pytest.fixture
def moved(people):
    """A delivery with two events: pending, then on_hold."""
    dispatcher = people.dispatcher()
    return dispatcher.walk(dispatcher.create(), "on_hold")


@pytest.fixture
def refused(app, moved):
    """Run statements in one transaction, and see that the database refuses one of them or the commit."""

    def write(*statements):
        with db.engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def run(*statements, error=IntegrityError):
        with app.app_context():
            with pytest.raises(error):
                write(*statements)
            unchanged = db.session.execute(select(Delivery.status, Delivery.version)).one()
        assert tuple(unchanged) == ("on_hold", 2)
        assert broken(app) == []

    return run


def event(moved, **values):
    now = clock.now()
    row = {
        "delivery_id": UUID(moved["id"]), "seq": 3, "kind": "moved", "from_state": "on_hold", "to_state": "pending",
        "actor_type": "user", "occurred_at": now, "recorded_at": now,
    }  # fmt: skip
    return EVENTS.insert().values(row | values)


def change(moved, **values):
    return DELIVERIES.update().where(DELIVERIES.c.id == UUID(moved["id"])).values(values)


def test_what_the_services_do_is_accepted(app, moved):
    """The control: an event that fits, with the delivery that it is about."""
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(change(moved, status="pending", version=3))
        connection.execute(event(moved))
    assert broken(app) == []


MISFITS = [
    {"seq": 4},
    {"seq": 2},
    {"seq": 0},
    {"seq": -1},
    {"from_state": "pending"},
    {"from_state": None},
    {"from_state": "delivered"},
    {"to_state": "nowhere"},
    {"kind": "imagined"},
    {"kind": "edited"},
    {"kind": "proof"},
    {"delivery_id": NOBODYS},
    {"delivery_id": NOBODYS, "seq": 1, "from_state": None},
    {"seq": 1, "from_state": None},
]


def test_an_event_that_does_not_fit_is_refused(moved, refused):
    for values in MISFITS:
        to_state = values.get("to_state", "pending")
        refused(change(moved, status=to_state, version=values.get("seq", 3)), event(moved, **values))


def test_a_history_does_not_begin_in_the_middle(app, moved, refused):
    """A first event must be a beginning: draft or pending, out of nothing."""
    new = new_id()
    fresh = {"id": literal(new, Uuid()), "tracking_number": literal("0" * 13), "status": literal("delivered")}
    columns = [fresh.get(column.name, column) for column in DELIVERIES.c if column.name != "version"]
    names = [column.name for column in DELIVERIES.c if column.name != "version"]
    copy = DELIVERIES.insert().from_select([*names, "version"], select(*columns, literal(1)))
    refused(copy, event(moved, delivery_id=new, seq=1, from_state=None, to_state="delivered"))
    refused(copy)


UNTOLD = [
    {"status": "delivered"},
    {"status": "delivered", "version": 3},
    {"version": 3},
    {"version": 1},
    {"version": 0},
    {"status": "pending", "version": 1, "courier_id": None, "picked_up_at": "now"},
    {"status": "nowhere"},
    {"window_earliest": "now", "window_latest": "before"},
    {"deleted_at": "now", "picked_up_at": "now"},
    {"owner_id": NOBODYS},
]


def test_a_delivery_that_its_history_does_not_tell_of_is_refused(moved, refused):
    times = {"now": clock.now(), "before": clock.now().replace(year=2000)}
    for values in UNTOLD:
        refused(change(moved, **{name: times.get(str(value), value) for name, value in values.items()}))


def test_assigned_means_that_there_is_a_courier(moved, refused):
    refused(change(moved, status="assigned", version=3), event(moved, to_state="assigned", kind="assigned"))


def test_what_has_happened_is_neither_changed_nor_deleted(refused, database_url):
    statements = [
        "UPDATE delivery_events SET to_state = 'delivered' WHERE seq = 2",
        "UPDATE delivery_events SET reason_code = 'x'",
        "UPDATE delivery_events SET actor_id = NULL",
        "DELETE FROM delivery_events",
        "DELETE FROM delivery_events WHERE seq = 2",
        "DELETE FROM deliveries",
    ]
    if database_url.startswith("postgresql"):
        statements += ["TRUNCATE delivery_events CASCADE", "TRUNCATE deliveries CASCADE"]
    for statement in statements:
        refused(text(statement), error=DBAPIError)


def test_somebody_with_a_history_is_not_deleted(refused):
    refused(text("DELETE FROM users"))
