"""PATCH /api/deliveries/{id}: says something else about a delivery, once for each version."""

from uuid import uuid4

import pytest

from tests.factories import delivery_in
from tests.web.answers import problem, wrong

SEEN = {"If-Match": "*"}


def edit(who, delivery, **changes):
    return who.patch(f"/api/deliveries/{delivery['id']}", json=changes, headers=SEEN)


def test_an_edit_changes_what_it_names_and_nothing_else(api):
    delivery = api.create(tags=["a"], reference="r")
    changed = edit(api, delivery, item_name="Red bicycle", description=None, tags=["b", "c"])

    assert changed.status_code == 200
    expected = {**delivery, "item_name": "Red bicycle", "tags": ["b", "c"], "version": 2}
    assert {**changed.json, "updated_at": delivery["updated_at"]} == expected
    assert changed.json["updated_at"] > delivery["updated_at"]
    assert changed.headers["ETag"] == '"2"'
    assert api.get(f"/api/deliveries/{delivery['id']}").json == changed.json


def test_an_edit_appends_one_event_from_the_state_to_itself(api):
    delivery = api.create()
    edit(api, delivery, item_name="B")
    event = api.history(delivery)[-1]
    assert (event["seq"], event["kind"], event["from_state"], event["to_state"]) == (2, "edited", "pending", "pending")


def test_nested_objects_are_replaced_whole(api):
    delivery = api.create(package={"pieces": 2, "weight_grams": 10}, window={"earliest": "2026-01-01T00:00:00Z"})
    changed = edit(api, delivery, package={"weight_grams": 20}, recipient={"name": "New"}, window=None).json

    assert changed["package"] == {"pieces": 1, "weight_grams": 20}
    assert changed["recipient"] == {"name": "New", "email": None, "phone": None, "locale": "en"}
    assert changed["window"] == {"earliest": None, "latest": None}
    assert edit(api, delivery, package=None).json["package"] is None


def test_an_edit_of_nothing_is_no_new_version(api):
    delivery = api.create()
    response = edit(api, delivery)
    assert (response.status_code, response.json) == (200, delivery)
    assert len(api.history(delivery)) == 1


def test_what_must_be_there_cannot_be_taken_away(api):
    delivery = api.create()
    for name in ("item_name", "recipient", "destination", "requirements", "tags", "owner_id"):
        assert wrong(edit(api, delivery, **{name: None})) == {f"/{name}": "null"}


def test_a_draft_is_begun_as_one_or_not_at_all(api):
    assert wrong(edit(api, api.create(), draft=True)) == {"/draft": "unknown"}


def test_tags_are_shared_words(api, people):
    for who in (api, people.customer()):
        delivery = who.create(tags=["fragile", "gift"])
        assert edit(who, delivery, tags=["gift", "urgent", "gift"]).json["tags"] == ["gift", "urgent"]
        assert edit(who, delivery, tags=[]).json["tags"] == []
        assert edit(who, delivery, item_name="B", tags=["gift"]).json["tags"] == ["gift"]


def test_a_reference_moves_only_to_a_free_one(api):
    first, second = api.create(reference="a"), api.create(reference="b")
    body = problem(edit(api, second, reference="a"), 409, "duplicate_reference")
    assert body["existing_id"] == first["id"]
    assert edit(api, second, reference="b", item_name="B").json["reference"] == "b"
    assert edit(api, second, reference=None).json["reference"] is None
    assert edit(api, first, reference="b").json["reference"] == "b"


def test_an_owner_changes_only_by_staff(people):
    owner, other, dispatcher = people.customer(), people.customer(), people.dispatcher()
    delivery = owner.create(reference="r")
    problem(edit(owner, delivery, owner_id=other.user_id), 403, "forbidden")
    assert edit(owner, delivery, owner_id=owner.user_id).status_code == 200
    assert wrong(edit(dispatcher, delivery, owner_id=str(uuid4()))) == {"/owner_id": "invalid"}

    assert edit(dispatcher, delivery, owner_id=other.user_id).json["owner_id"] == other.user_id
    problem(owner.get(f"/api/deliveries/{delivery['id']}"), 404)
    assert other.get(f"/api/deliveries/{delivery['id']}").status_code == 200


def test_a_new_owner_must_have_that_reference_free(people):
    owner, other, dispatcher = people.customer(), people.customer(), people.dispatcher()
    delivery, theirs = owner.create(reference="r"), other.create(reference="r")
    body = problem(edit(dispatcher, delivery, owner_id=other.user_id), 409, "duplicate_reference")
    assert body["existing_id"] == theirs["id"]


@pytest.mark.parametrize("end", ["delivered", "cancelled", "lost"])
def test_a_finished_delivery_is_not_edited(people, end):
    dispatcher = people.dispatcher()
    delivery = dispatcher.create()
    dispatcher.walk(delivery, *([] if end == "cancelled" else ["picked_up"]), end)
    problem(edit(dispatcher, delivery, item_name="B"), 409, "finished")


def test_a_delivery_on_the_road_can_be_edited(people):
    """An address that was wrong is put right while the parcel travels."""
    dispatcher = people.dispatcher()
    delivery = dispatcher.create()
    dispatcher.walk(delivery, "picked_up", "in_transit")
    other = delivery_in()["destination"] | {"line1": "13 Harbour Street"}
    assert edit(dispatcher, delivery, destination=other).json["destination"] == other


def test_what_a_replaced_object_lacks_goes_back_to_its_default(people):
    ada = people.customer()
    window = {"earliest": "2030-05-01T09:00:00Z", "latest": "2030-05-01T11:00:00Z"}
    made = ada.create(
        recipient={"name": "Grace", "email": "grace@home.example", "phone": "+442079460000", "locale": "de"},
        destination={"line1": "12 Harbour Street", "line2": "3rd floor", "city": "Bristol", "country": "GB"},
        package={"weight_grams": 500, "pieces": 2, "length_mm": 30},
        window=window,
        requirements={"photo": True, "pin": True},
    )
    changed = {
        "recipient": {"name": "Kim"},
        "destination": {"line1": "3 Mill Lane", "city": "Bath", "country": "GB"},
        "package": {"weight_grams": 600},
        "window": {"latest": window["latest"]},
        "requirements": {"photo": True},
    }
    shown = ada.patch(f"/api/deliveries/{made['id']}", json=changed, headers={"If-Match": '"1"'}).json
    assert shown["recipient"] == {"name": "Kim", "email": None, "phone": None, "locale": "en"}
    assert shown["destination"] == changed["destination"]
    assert shown["package"] == {"weight_grams": 600, "pieces": 1}
    assert shown["window"] == {"earliest": None, "latest": window["latest"]}
    assert shown["requirements"] == {"photo": True, "signature": False, "pin": False}
    nothing = {"window": None, "package": None}
    again = ada.patch(f"/api/deliveries/{made['id']}", json=nothing, headers={"If-Match": "*"})
    assert again.json["window"] == {"earliest": None, "latest": None}
    assert again.json["package"] is None
