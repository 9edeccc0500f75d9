"""Who sees and does what: every role, at every endpoint of a delivery, whosever it is."""

from uuid import UUID

import pytest
from sqlalchemy import select

from delivery.database import db
from delivery.deliveries.access import parts_of, visible_to
from delivery.deliveries.models import Delivery
from delivery.web import Caller
from tests.auth.signing_in import signed_in_again
from tests.factories import Api, delivery_in
from tests.web.answers import problem

# Who, of a delivery that is assigned to one courier: GET, history, PATCH, DELETE, a move that would be legal.
MATRIX = {
    "owner": (200, 200, 200, 204, 403),
    "another customer": (404, 404, 404, 404, 404),
    "its courier": (200, 200, 403, 403, 200),
    "another courier": (404, 404, 404, 404, 404),
    "dispatcher": (200, 200, 200, 204, 200),
    "admin": (200, 200, 200, 204, 200),
    "nobody": (401, 401, 401, 401, 401),
}
LISTED = {"owner", "its courier", "dispatcher", "admin"}


@pytest.fixture
def cast(app, people):
    nobody = Api(app, user_id=None, token="")
    nobody.headers = {}
    return {
        "owner": people.customer(),
        "another customer": people.customer(),
        "its courier": people.courier(),
        "another courier": people.courier(),
        "dispatcher": people.dispatcher(),
        "admin": people.admin(),
        "nobody": nobody,
    }


def assigned(cast):
    delivery = cast["owner"].create()
    moved = cast["dispatcher"].move(delivery, "assigned", courier_id=cast["its courier"].user_id)
    assert moved.status_code == 200
    return delivery


@pytest.mark.parametrize("name", MATRIX)
def test_a_delivery_is_for_those_whom_it_concerns(cast, name):
    read, history, edit, delete, move = MATRIX[name]
    who, delivery = cast[name], assigned(cast)
    path, seen = f"/api/deliveries/{delivery['id']}", {"If-Match": "*"}

    assert who.get(path).status_code == read
    assert who.get(f"{path}/events").status_code == history
    assert who.patch(path, json={"item_name": "B"}, headers=seen).status_code == edit
    assert who.move(delivery, "picked_up").status_code == move
    untouched = assigned(cast)
    assert who.delete(f"/api/deliveries/{untouched['id']}", headers=seen).status_code == delete


def test_what_one_may_not_see_is_answered_as_what_is_not_there(cast):
    delivery = assigned(cast)
    stranger = cast["another customer"]
    for method, suffix, body in (
        ("GET", "", None),
        ("GET", "/events", None),
        ("PATCH", "", {"item_name": "B"}),
        ("PATCH", "", {"item_name": 1}),
        ("DELETE", "", None),
        ("POST", "/transitions", {"to": "picked_up"}),
        ("POST", "/transitions", {"to": "nonsense"}),
    ):
        real, made_up = (
            problem(stranger.request(method, f"/api/deliveries/{one}{suffix}", json=body), 404)
            for one in (delivery["id"], "0190a0a0-0000-7000-8000-000000000000")
        )
        assert {**real, "request_id": ""} == {**made_up, "request_id": ""}


@pytest.mark.parametrize("name", [name for name in MATRIX if name != "nobody"])
def test_a_list_shows_what_its_reader_may_see(cast, name):
    delivery = assigned(cast)
    filters = ["", f"?owner_id={cast['owner'].user_id}", f"?courier_id={cast['its courier'].user_id}",
               "?status=assigned", "?q=grace", f"?q={delivery['tracking_number']}", "?sort=updated_at"]  # fmt: skip
    for query in filters:
        items = cast[name].get(f"/api/deliveries{query}").json["items"]
        assert [item["id"] for item in items] == ([delivery["id"]] if name in LISTED else []), query
    problem(cast["nobody"].get("/api/deliveries"), 401)


def test_a_user_sees_their_own_deliveries_and_an_admin_everybodys(cast):
    """A dispatcher finds them by ?owner_id=; accounts are no business of theirs."""
    delivery = assigned(cast)
    path = f"/api/users/{cast['owner'].user_id}/deliveries"
    for name in ("owner", "admin"):
        page = cast[name].get(f"{path}?limit=1&status=assigned").json
        assert [item["id"] for item in page["items"]] == [delivery["id"]]
    for name in ("another customer", "its courier", "dispatcher"):
        problem(cast[name].get(path), 404)
    assert cast["owner"].get(f"{path}?owner_id={cast['admin'].user_id}").json["items"][0]["id"] == delivery["id"]
    assert cast["admin"].get(f"/api/users/{cast['admin'].user_id}/deliveries").json["items"] == []


def test_who_may_create(cast):
    expected = {
        "owner": 201,
        "another customer": 201,
        "its courier": 403,
        "dispatcher": 201,
        "admin": 201,
        "nobody": 401,
    }
    for name, status in expected.items():
        assert cast[name].post("/api/deliveries", json=delivery_in()).status_code == status, name


def test_an_owner_who_became_a_courier_is_an_owner_no_more(cast):
    """By role, in lists and one by one: otherwise one would show what the other hides."""
    delivery = assigned(cast)
    path = f"/api/users/{cast['owner'].user_id}"
    cast["admin"].patch(path, json={"role": "courier"}, headers={"If-Match": "*"})
    courier = signed_in_again(cast["owner"])
    problem(courier.get(f"/api/deliveries/{delivery['id']}"), 404)
    assert courier.get("/api/deliveries").json["items"] == []


def test_a_role_that_nobody_knows_sees_nothing(app, people):
    """Deny by default: a role that is added one day sees nothing until somebody says what."""
    owner = people.customer()
    owner.create()
    visitor = Caller(id=UUID(owner.user_id), role="visitor")
    with app.app_context():
        assert db.session.execute(select(Delivery.id).where(visible_to(visitor))).all() == []
        assert parts_of(visitor, db.session.execute(select(Delivery)).scalar_one()) == frozenset()
