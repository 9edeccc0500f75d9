"""Many at once: one winner, an honest answer for the others, and an unbroken history."""

import os
from collections import Counter

import pytest
from sqlalchemy import select

from delivery.database import db, transaction
from delivery.deliveries import services
from delivery.deliveries.models import Delivery
from delivery.errors import Conflict
from tests.deliveries.chains import broken
from tests.factories import delivery_in
from tests.web.answers import problem
from tests.web.racing import race

# A hundred rounds in scripts/fuzz
RACERS, ROUNDS = 8, int(os.environ.get("RACE_ROUNDS", "5"))


def statuses(responses):
    return Counter(response.status_code for response in responses)


def test_one_of_eight_edits_of_one_version_wins(app, api):
    delivery = api.create()
    path = f"/api/deliveries/{delivery['id']}"
    for version in range(1, ROUNDS + 1):

        def edit(name, seen=f'"{version}"'):
            return api.patch(path, json={"item_name": name}, headers={"If-Match": seen})

        responses = race(*(lambda name=f"{number}": edit(name) for number in range(RACERS)))

        assert statuses(responses) == {200: 1, 412: RACERS - 1}
        [won] = [response.json for response in responses if response.status_code == 200]
        assert api.get(path).json == won
        for lost in responses:
            if lost.status_code == 412:
                problem(lost, 412, "stale_version")
                assert lost.headers["ETag"] == f'"{version + 1}"'
    assert broken(app) == []


def test_one_of_many_same_moves_wins(app, people):
    dispatcher = people.dispatcher()
    for _ in range(ROUNDS):
        delivery = dispatcher.create()
        responses = race(*[lambda delivery=delivery: dispatcher.move(delivery, "cancelled")] * RACERS)

        assert statuses(responses) == {200: 1, 409: RACERS - 1}
        assert [event["to_state"] for event in dispatcher.history(delivery)] == ["pending", "cancelled"]
    assert broken(app) == []


def test_different_moves_at_once_make_one_legal_history(app, people):
    """Whoever comes second is judged by the state that the first left behind."""
    dispatcher, courier = people.dispatcher(), people.courier()
    for _ in range(ROUNDS):
        delivery = dispatcher.create()
        responses = race(
            lambda delivery=delivery: dispatcher.move(delivery, "on_hold"),
            lambda delivery=delivery: dispatcher.move(delivery, "assigned", courier_id=courier.user_id),
            lambda delivery=delivery: dispatcher.move(delivery, "picked_up"),
            lambda delivery=delivery: dispatcher.move(delivery, "cancelled"),
            lambda delivery=delivery: dispatcher.patch(
                f"/api/deliveries/{delivery['id']}", json={"item_name": "B"}, headers={"If-Match": "*"}
            ),
            lambda delivery=delivery: dispatcher.delete(f"/api/deliveries/{delivery['id']}", headers={"If-Match": "*"}),
        )
        assert set(statuses(responses)) <= {200, 204, 404, 409}
    assert broken(app) == []


def test_one_of_many_deletions_wins(app, api):
    delivery = api.create()
    path = f"/api/deliveries/{delivery['id']}"
    responses = race(*[lambda: api.delete(path, headers={"If-Match": '"1"'})] * RACERS)
    assert statuses(responses)[204] == 1
    assert set(statuses(responses)) <= {204, 404}
    assert broken(app) == []


def test_one_reference_becomes_one_delivery(app, api):
    for number in range(ROUNDS):
        body = delivery_in(reference=f"order-{number}")
        responses = race(*[lambda body=body: api.post("/api/deliveries", json=body)] * RACERS)

        assert statuses(responses) == {201: 1, 409: RACERS - 1}
        [made] = [response.json["id"] for response in responses if response.status_code == 201]
        for lost in responses:
            if lost.status_code == 409:
                assert problem(lost, 409, "duplicate_reference")["existing_id"] == made
    assert broken(app) == []


def test_a_reference_that_two_edits_want_goes_to_one(app, api):
    first, second = api.create(), api.create()
    responses = race(
        *(
            lambda delivery=delivery: api.patch(
                f"/api/deliveries/{delivery['id']}", json={"reference": "wanted"}, headers={"If-Match": "*"}
            )
            for delivery in (first, second)
        )
    )
    assert statuses(responses) == {200: 1, 409: 1}
    assert broken(app) == []


def test_tags_that_are_new_to_everybody_are_made_once(app, api):
    """Writers that make the same new tags in different orders neither fail nor wait for each other for ever."""
    words = [f"word-{number}" for number in range(12)]
    orders = [words[turn:] + words[:turn] for turn in range(RACERS)]
    responses = race(*(lambda tags=tags: api.post("/api/deliveries", json=delivery_in(tags=tags)) for tags in orders))
    assert statuses(responses) == {201: RACERS}
    assert all(response.json["tags"] == sorted(words) for response in responses)
    assert {tuple(item["tags"]) for item in api.get("/api/deliveries").json["items"]} == {tuple(sorted(words))}


def test_a_write_from_an_old_version_loses(app, api, people):
    """What erasing a person finds without locking it may have changed before it is written."""
    delivery = api.create(draft=True)
    with app.app_context():
        seen = db.session.execute(select(Delivery)).scalar_one()
        changed = api.patch(f"/api/deliveries/{delivery['id']}", json={"item_name": "B"}, headers={"If-Match": "*"})
        with pytest.raises(Conflict) as caught, transaction():
            services._write(seen, item_name="C")
    assert caught.value.code == "lost_race"
    assert api.get(f"/api/deliveries/{delivery['id']}").json == changed.json
