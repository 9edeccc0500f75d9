"""DELETE /api/deliveries/{id}: only before pick-up; then it is gone for everybody, and its history stays."""

from uuid import UUID

import pytest
from sqlalchemy import select

from delivery.database import db
from delivery.deliveries.models import Delivery, DeliveryEvent
from tests.factories import delivery_in
from tests.web.answers import problem

SEEN = {"If-Match": "*"}
ON_THE_ROAD = [
    ["picked_up"], ["picked_up", "in_transit"], ["picked_up", "on_hold"], ["picked_up", "delivered"],
    ["picked_up", "in_transit", "attempt_failed"], ["picked_up", "lost"], ["picked_up", "out_for_delivery"],
    ["picked_up", "in_transit", "returning", "returned"],
]  # fmt: skip


def path_of(delivery):
    return f"/api/deliveries/{delivery['id']}"


@pytest.mark.parametrize("ways", [[], ["on_hold"], ["cancelled"]])
def test_a_delivery_that_nobody_has_picked_up_is_deleted(app, people, ways):
    owner, dispatcher = people.customer(), people.dispatcher()
    delivery = owner.create()
    dispatcher.walk(delivery, *ways)
    response = owner.delete(path_of(delivery), headers=SEEN)

    assert (response.status_code, response.data) == (204, b"")
    for who in (owner, dispatcher, people.admin()):
        problem(who.get(path_of(delivery)), 404)
        problem(who.get(f"{path_of(delivery)}/events"), 404)
        problem(who.patch(path_of(delivery), json={"item_name": "B"}, headers=SEEN), 404)
        problem(who.delete(path_of(delivery), headers=SEEN), 404)
        problem(who.move(delivery, "cancelled"), 404)
        assert who.get("/api/deliveries").json["items"] == []
    with app.app_context():
        row = db.session.get(Delivery, UUID(delivery["id"]))
        assert row.deleted_at is not None
        query = select(DeliveryEvent).where(DeliveryEvent.delivery_id == row.id).order_by(DeliveryEvent.seq)
        events = db.session.execute(query).scalars().all()
    assert [event.seq for event in events] == list(range(1, row.version + 1))
    assert (events[-1].kind, events[-1].reason_code) == ("edited", "deleted")


def test_a_draft_and_an_assigned_one_are_deleted_too(people):
    owner, dispatcher, courier = people.customer(), people.dispatcher(), people.courier()
    draft, assigned = owner.create(draft=True), owner.create()
    dispatcher.move(assigned, "assigned", courier_id=courier.user_id)
    for delivery in (draft, assigned):
        assert owner.delete(path_of(delivery), headers=SEEN).status_code == 204
    problem(courier.get(path_of(assigned)), 404)
    assert courier.get("/api/deliveries").json["items"] == []


def test_a_delivery_that_has_been_picked_up_is_not(people):
    dispatcher = people.dispatcher()
    for ways in ON_THE_ROAD:
        delivery = dispatcher.create()
        dispatcher.walk(delivery, *ways)
        problem(dispatcher.delete(path_of(delivery), headers=SEEN), 409, "picked_up")
        assert dispatcher.get(path_of(delivery)).status_code == 200


def test_deleting_starts_from_the_version_that_was_seen(api):
    delivery = api.create()
    api.patch(path_of(delivery), json={"item_name": "B"}, headers={"If-Match": '"1"'})
    response = api.delete(path_of(delivery), headers={"If-Match": '"1"'})
    problem(response, 412, "stale_version")
    assert response.headers["ETag"] == '"2"'
    assert api.delete(path_of(delivery), headers={"If-Match": '"2"'}).status_code == 204


def test_a_reference_is_free_again_when_its_delivery_is_gone(api):
    gone = api.create(reference="order-1")
    assert api.delete(path_of(gone), headers=SEEN).status_code == 204
    again = api.create(reference="order-1")
    assert again["id"] != gone["id"]
    other = api.create()
    body = problem(api.patch(path_of(other), json={"reference": "order-1"}, headers=SEEN), 409, "duplicate_reference")
    assert body["existing_id"] == again["id"]


def test_a_deleted_delivery_frees_its_reference(api):
    first = api.create(reference="order-1")
    gone = api.delete(f"/api/deliveries/{first['id']}", headers={"If-Match": '"1"'})
    assert gone.status_code == 204

    again = api.create(reference="order-1")

    assert again["id"] != first["id"]
    taken = api.post("/api/deliveries", json=delivery_in(reference="order-1"))
    assert (taken.status_code, taken.json["existing_id"]) == (409, again["id"])
