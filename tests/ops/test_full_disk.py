"""A disk that is full: what needs room is refused as an outage, nothing is half written, and the rest goes on."""

import pytest
from sqlalchemy import event, func, select

from delivery.database import db
from delivery.deliveries.models import Delivery
from delivery.notifications.models import OutboxMessage
from tests.notifications.conftest import on_sqlite

NEW = {
    "item_name": "x" * 150,
    "recipient": {"name": "Grace Doorstep", "email": "grace@home.example"},
    "destination": {"line1": "12 Harbour Street", "city": "Bristol", "country": "GB"},
}


@pytest.fixture
def full(app):
    """A database that may not grow by a page; as SQLite does where the disk is full, it says so."""
    with app.app_context():
        db.engine.dispose()
        engine = db.engine

    def limit(connection, _record):
        connection.execute("PRAGMA max_page_count = 1")  # the least that SQLite takes is what there is

    event.listen(engine, "connect", limit)
    yield
    event.remove(engine, "connect", limit)
    with app.app_context():
        engine.dispose()


def counted(app):
    with app.app_context():
        return [db.session.scalar(select(func.count()).select_from(model)) for model in (Delivery, OutboxMessage)]


@on_sqlite
@pytest.mark.usefixtures("full")
def test_a_full_disk_is_an_outage_that_leaves_nothing_half_done(app, people):
    owner = people.customer()
    answers = [owner.post("/api/deliveries", json=NEW) for _ in range(60)]
    made = [answer for answer in answers if answer.status_code == 201]
    [refused, *_] = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {201, 503}
    assert refused.json["code"] == "unavailable"
    deliveries, messages = counted(app)
    assert deliveries == len(made)
    assert messages == 2 * len(made)
    assert owner.get("/api/deliveries").status_code == 200
