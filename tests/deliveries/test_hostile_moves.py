"""What somebody tries who wants a delivery to be where it is not: each try has its answer, and changes nothing."""

from collections import Counter

import pytest

from tests.deliveries.chains import broken
from tests.web.answers import problem
from tests.web.racing import race


@pytest.fixture
def cast(people):
    return {name: getattr(people, name)() for name in ("customer", "courier", "dispatcher")}


@pytest.fixture
def delivery(cast):
    delivery = cast["customer"].create()
    assigned = cast["dispatcher"].move(delivery, "assigned", courier_id=cast["courier"].user_id)
    assert assigned.status_code == 200
    return assigned.json


def test_each_hostile_move_has_its_answer_and_changes_nothing(cast, delivery, people):
    courier, dispatcher = cast["courier"], cast["dispatcher"]
    path, key = f"/api/deliveries/{delivery['id']}/transitions", {"Idempotency-Key": "k"}

    problem(courier.move(delivery, "draft"), 409, "illegal_move")
    skipped = problem(courier.move(delivery, "delivered"), 409, "illegal_move")
    assert (skipped["from"], skipped["to"]) == ("assigned", "delivered")
    problem(cast["customer"].move(delivery, "picked_up"), 403, "forbidden")
    problem(people.courier().move(delivery, "picked_up"), 404, "not_found")
    problem(people.customer().move(delivery, "cancelled"), 404, "not_found")
    assert dispatcher.get(f"/api/deliveries/{delivery['id']}").json["version"] == delivery["version"]

    first = courier.post(path, json={"to": "picked_up"}, headers=key)
    assert first.status_code == 200
    problem(courier.move(delivery, "picked_up"), 409, "illegal_move")
    replay = courier.post(path, json={"to": "picked_up"}, headers=key)
    assert (replay.data, replay.headers["Idempotent-Replayed"]) == (first.data, "true")
    assert [event["to_state"] for event in dispatcher.history(delivery)] == ["pending", "assigned", "picked_up"]


def test_one_of_fifty_moves_at_once_wins(app, cast, delivery):
    responses = race(*[lambda: cast["courier"].move(delivery, "picked_up")] * 50)
    assert Counter(response.status_code for response in responses) == {200: 1, 409: 49}
    assert len(cast["dispatcher"].history(delivery)) == 3
    assert broken(app) == []


def test_one_effect_of_fifty_repeats_at_once(app, cast, delivery):
    path, key = f"/api/deliveries/{delivery['id']}/transitions", {"Idempotency-Key": "k"}
    responses = race(*[lambda: cast["courier"].post(path, json={"to": "picked_up"}, headers=key)] * 50)
    for impatient in (response for response in responses if response.status_code != 200):
        problem(impatient, 409, "key_in_use")  # who has waited for two seconds may try again
    answered = [response for response in responses if response.status_code == 200]
    assert len({response.data for response in answered}) == 1
    assert sum("Idempotent-Replayed" not in response.headers for response in answered) == 1
    assert len(cast["dispatcher"].history(delivery)) == 3
    assert broken(app) == []
