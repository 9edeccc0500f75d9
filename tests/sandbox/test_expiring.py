"""Test deliveries go by themselves; the history, which nobody can change, stays with nobody in it."""

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from delivery.database import db, transaction
from delivery.deliveries.models import Delivery, DeliveryEventDetail
from delivery.deliveries.numbering import number_new_events
from delivery.ops.housekeeping import Housekeeping
from delivery.sandbox import services
from delivery.sandbox.models import SandboxRun
from tests.auth.keys import key_of, sandbox_of
from tests.deliveries.chains import broken
from tests.sandbox.testing import advance
from tests.web.answers import problem


def sweep(app):
    with app.app_context():
        Housekeeping().do()


def test_after_thirty_days_a_test_is_gone_and_whoever_stood_in_it(app, api, travel):
    key, real = sandbox_of(api), key_of(api)
    done, fresh = key.create(reference="A-1", description="For Grace"), key.create()
    live = api.create(reference="L-1")
    advance(key, done, scenario="returned", to_end=True)
    advance(key, fresh, scenario="lost")
    travel(days=29)
    sweep(app)
    assert len(key.get("/api/deliveries").json["items"]) == 2
    newest = key.create(reference="A-2")

    travel(days=2)
    sweep(app)

    assert [one["id"] for one in key.get("/api/deliveries").json["items"]] == [newest["id"]]
    problem(key.get(f"/api/deliveries/{done['id']}"), 404)
    problem(advance(key, fresh), 404)
    assert real.get(f"/api/deliveries/{live['id']}").json["recipient"]["name"] == "Grace Doorstep"
    assert key.create(reference="A-1")["id"] != done["id"]
    with app.app_context(), db.engine.connect() as connection:
        gone = connection.execute(select(Delivery.__table__).where(Delivery.deleted_at.is_not(None))).all()
        assert {(row.recipient_name, row.recipient_email, row.description) for row in gone} == {("Erased", None, None)}
        assert connection.execute(select(DeliveryEventDetail)).all() == []
        assert connection.execute(select(SandboxRun)).all() == []
    with app.app_context():
        number_new_events()
    assert broken(app) == []
    last = key.get("/api/events?limit=100").json["items"]
    assert [one["type"] for one in last if one["data"]["delivery_id"] == done["id"]][-1] == "delivery.deleted"


def test_a_batch_takes_so_many_and_no_live_one(app, api, travel):
    key, real = sandbox_of(api), key_of(api)
    for _ in range(3):
        key.create()
    api.create()
    travel(days=40)
    done = []
    while not done or done[-1]:
        with app.app_context(), transaction():
            done.append(services.expire(2))
    assert done == [2, 1, 0]
    assert len(real.get("/api/deliveries").json["items"]) == 1


@pytest.mark.parametrize("change", ["DELETE FROM delivery_events", "UPDATE delivery_events SET reason_code = 'x'"])
def test_the_history_of_tests_is_no_less_append_only(app, api, change):
    sandbox_of(api).create()
    with pytest.raises(DBAPIError, match="append-only"), app.app_context(), transaction() as session:
        session.execute(text(change))
