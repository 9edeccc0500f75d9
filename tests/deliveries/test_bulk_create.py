"""POST /api/deliveries/bulk: an outcome for each item, by the rules of a single one."""

import time

import orjson
import pytest
from sqlalchemy import func, select

from delivery.database import db
from delivery.deliveries.models import Delivery
from tests.deliveries.chains import broken
from tests.deliveries.test_create import NOT_THE_SENDERS, WHOLE
from tests.factories import delivery_in
from tests.web.answers import problem, wrong
from tests.web.racing import race

PATH = "/api/deliveries/bulk"
RACERS = 30


def bulk(api, items, **more):
    headers = more.pop("headers", None)
    return api.post(PATH, json={"items": items, **more}, headers=headers)


def outcomes(response):
    assert response.status_code == 200, response.text
    return [item["outcome"] for item in response.json["items"]]


def count(app):
    with app.app_context():
        return db.session.execute(select(func.count()).select_from(Delivery)).scalar_one()


def test_each_is_what_a_single_one_would_be(app, api):
    response = bulk(api, [WHOLE, delivery_in(), delivery_in(draft=True)])

    assert outcomes(response) == ["created"] * 3
    assert [response.json[name] for name in ("created", "duplicates", "refused")] == [3, 0, 0]
    whole, _, draft = [api.get(f"/api/deliveries/{item['id']}").json for item in response.json["items"]]
    assert {name: whole[name] for name in WHOLE} == WHOLE
    assert response.json["items"][0]["tracking_number"] == whole["tracking_number"]
    assert draft["status"] == "draft"
    assert [len(api.history(one)) for one in (whole, draft)] == [1, 1]
    assert len(api.get(f"/api/deliveries/{whole['id']}/notifications").json["items"]) == 2
    assert broken(app) == []


def test_what_is_wrong_with_one_is_said_in_its_place_and_the_rest_is_created(app, api, people):
    taken, other = api.create(reference="taken"), people.customer()
    response = bulk(
        api,
        [
            delivery_in(recipient={"name": "G", "phone": "12"}, item_name=""),
            delivery_in(reference="taken"),
            delivery_in(reference="new"),
            delivery_in(reference="new"),
            delivery_in(owner_id=other.user_id),
            7,
            delivery_in(tags=["ok"]),
        ],
    )

    assert outcomes(response) == ["refused", "duplicate", "created", "duplicate", "refused", "refused", "created"]
    assert [response.json[name] for name in ("created", "duplicates", "refused")] == [2, 2, 3]
    items = response.json["items"]
    assert [item["index"] for item in items] == list(range(7))
    pointers = {error["pointer"] for error in items[0]["problem"]["errors"]}
    assert pointers == {"/items/0/recipient/phone", "/items/0/item_name"}
    assert items[0]["problem"]["code"] == "validation_failed"
    assert items[1]["problem"]["existing_id"] == items[1]["id"] == taken["id"]
    assert items[3]["id"] == items[2]["id"]
    assert items[4]["problem"]["code"] == "forbidden"
    assert [error["pointer"] for error in items[5]["problem"]["errors"]] == ["/items/5"]
    assert count(app) == 3


def test_nothing_is_created_when_it_is_all_or_nothing(app, api):
    taken = api.create(reference="taken")
    good = delivery_in(reference="fine", tags=["lost"])
    response = bulk(api, [good, delivery_in(reference="taken"), {}], atomic=True)

    assert wrong(response)["/items/1/reference"] == "duplicate_reference"
    assert wrong(response)["/items/2/item_name"] == "required"
    assert count(app) == 1
    assert outcomes(bulk(api, [good, delivery_in()], atomic=True)) == ["created"] * 2
    assert taken["version"] == 1


@pytest.mark.parametrize("items", [None, [], {}, "x", 1, [delivery_in()] * 1001])
def test_a_list_that_is_none_or_is_too_long_is_refused_whole(app, api, items):
    assert set(wrong(bulk(api, items))) == {"/items"}
    assert count(app) == 0


def test_what_is_not_the_senders_to_say_is_refused(api):
    items = [delivery_in(**{name: "1"}) for name in NOT_THE_SENDERS]
    for item, name in zip(bulk(api, items).json["items"], NOT_THE_SENDERS, strict=True):
        assert [error["pointer"] for error in item["problem"]["errors"]] == [f"/items/{item['index']}/{name}"]


def test_a_hostile_list_is_answered_soon_and_shortly(app, api):
    """However many things are wrong in a megabyte."""
    many = {f"x{number}": 1 for number in range(900)}
    started = time.process_time()
    response = bulk(api, [many] * 90)
    assert time.process_time() - started < 5
    assert outcomes(response) == ["refused"] * 90
    assert len(response.data) < 500_000
    assert len(wrong(bulk(api, [many] * 90, atomic=True))) <= 100
    assert set(wrong(bulk(api, [1] * 300_000))) == {"/items"}
    assert count(app) == 0


def test_a_body_that_is_too_large_is_a_413(api):
    problem(bulk(api, [delivery_in(description="x" * 1900)] * 600), 413, "request_entity_too_large")


def test_couriers_create_none(people):
    problem(bulk(people.courier(), [delivery_in()]), 403, "forbidden")


def test_a_dispatcher_creates_for_others(people):
    customer, other = people.customer(), people.customer()
    items = [delivery_in(owner_id=one.user_id, reference="same") for one in (customer, other)]
    assert outcomes(bulk(people.dispatcher(), items)) == ["created"] * 2
    assert len(customer.get("/api/deliveries").json["items"]) == 1


def test_a_repeat_under_one_key_gets_the_same_bytes(app, api):
    items, headers = [delivery_in(), delivery_in(reference="a"), {}], {"Idempotency-Key": "k"}
    first, again = (bulk(api, items, headers=headers) for _ in range(2))

    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert count(app) == 2
    problem(bulk(api, items[:1], headers=headers), 422, "key_reused")


def test_racing_requests_create_each_reference_once(app, api):
    """Half of them in the opposite order, some under one key."""
    names = [f"order-{number}" for number in range(20)]
    items = [delivery_in(reference=name, tags=[name]) for name in names]

    def ask(number):
        turned = items if number % 2 else items[::-1]
        headers = {"Idempotency-Key": f"k{number // 10}-{number % 2}"} if number < 20 else None
        return bulk(api, turned, headers=headers)

    responses = race(*(lambda number=number: ask(number) for number in range(RACERS)))
    assert {response.status_code for response in responses} == {200}
    assert count(app) == len(names)
    ids = {tuple(sorted(item["id"] for item in response.json["items"])) for response in responses}
    assert len(ids) == 1
    made = sum(response.json["created"] for response in responses if "Idempotent-Replayed" not in response.headers)
    assert made == len(names)
    assert broken(app) == []


def test_a_thousand_cost_as_many_statements_as_one(api, count_statements):
    def cost(number):
        with count_statements() as statements:
            items = [delivery_in(tags=["a"]) for _ in range(number)]
            assert bulk(api, items).json["created"] == number
        return len(statements)

    assert cost(1000) == cost(1)
    assert len(orjson.dumps({"items": [delivery_in(tags=["a"])] * 1000})) < 1_048_576
