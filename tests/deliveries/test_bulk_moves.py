"""POST /api/deliveries/transitions: an outcome for each item, by the rules of a single move."""

from uuid import uuid4

import pytest

from delivery.deliveries.states import State
from tests.deliveries.chains import broken
from tests.web.answers import problem, wrong
from tests.web.racing import race
from tests.webhooks.making import endpoint

PATH = "/api/deliveries/transitions"
ROUNDS = 5


def moves(api, items, **more):
    headers = more.pop("headers", None)
    return api.post(PATH, json={"items": items, **more}, headers=headers)


def codes(response):
    assert response.status_code == 200, response.text
    return [item["status"] if item["ok"] else item["problem"]["code"] for item in response.json["items"]]


def of(*deliveries):
    return [{"id": one["id"]} for one in deliveries]


@pytest.fixture
def crew(people):
    return people.dispatcher(), people.courier()


def everywhere(dispatcher, courier):
    """A delivery in each state, made by single moves."""
    roads = {
        "pending": [], "assigned": ["assigned"], "picked_up": ["picked_up"], "in_transit": ["picked_up", "in_transit"],
        "out_for_delivery": ["picked_up", "out_for_delivery"], "delivered": ["picked_up", "delivered"],
        "attempt_failed": ["assigned", "attempt_failed"], "on_hold": ["on_hold"],
        "returning": ["picked_up", "in_transit", "returning"],
        "returned": ["picked_up", "in_transit", "returning", "returned"], "cancelled": ["cancelled"],
        "lost": ["picked_up", "lost"],
    }  # fmt: skip
    for state, road in roads.items():
        made = dispatcher.create()
        for to in road:
            answered = dispatcher.move(made, to, **({"courier_id": courier.user_id} if to == "assigned" else {}))
            assert answered.status_code == 200, answered.text
        yield state, made
    yield "draft", dispatcher.create(draft=True)


@pytest.mark.parametrize("who", ["dispatcher", "courier", "customer"])
def test_every_move_has_the_outcome_that_it_has_alone(app, people, crew, who):
    """From every state to every state: one of a pair is moved alone, the other together with all."""
    dispatcher, courier = crew
    by = {"dispatcher": dispatcher, "courier": courier, "customer": people.customer()}[who]
    for to in (State.PENDING, State.ASSIGNED, State.PICKED_UP, State.DELIVERED, State.CANCELLED, State.LOST):
        pairs = [tuple(everywhere(dispatcher, courier)) for _ in range(2)]
        singles = []
        for _, one in pairs[0]:
            response = by.move(one, to.value)
            singles.append(response.json["status"] if response.status_code == 200 else response.json["code"])
        assert codes(moves(by, of(*(one for _, one in pairs[1])), to=to.value)) == singles
        for (_, first), (_, second) in zip(*pairs, strict=True):
            assert trace(dispatcher, first) == trace(dispatcher, second)
    assert broken(app) == []


def trace(api, delivery):
    """What is left of moves, but for ids and times."""
    own = {"id", "tracking_number", "created_at", "updated_at", "picked_up_at", "allowed_transitions"}
    shown = {
        name: value for name, value in api.get(f"/api/deliveries/{delivery['id']}").json.items() if name not in own
    }
    times = {"request_id", "occurred_at", "recorded_at"}
    events = [{name: value for name, value in event.items() if name not in times} for event in api.history(delivery)]
    messages = api.get(f"/api/deliveries/{delivery['id']}/notifications?limit=100").json["items"]
    return shown, events, sorted((one["event"], one["channel"], one["audience"]) for one in messages)


def test_words_are_kept_with_each_and_an_item_goes_before_all(crew):
    dispatcher, _ = crew
    first, second = dispatcher.create(), dispatcher.create()
    place = {"lat": 1.5, "lng": -2.25}
    items = [{"id": first["id"]}, {"id": second["id"], "to": "on_hold", "reason_code": "no_van", "note": None}]
    words = {"note": "n", "public_note": "p", "reason_code": "r", "occurred_at": "2026-01-01T00:00:00Z"}
    response = moves(dispatcher, items, to="picked_up", location=place, **words)

    assert codes(response) == ["picked_up", "on_hold"]
    one, other = dispatcher.history(first)[-1], dispatcher.history(second)[-1]
    assert {name: one[name] for name in (*words, "location")} == {**words, "location": place}
    assert (other["reason_code"], other["note"], other["public_note"]) == ("no_van", None, "p")
    assert dispatcher.get(f"/api/deliveries/{first['id']}").json["picked_up_at"] == words["occurred_at"]
    assert response.json["items"][0]["version"] == 2


def test_a_part_that_fails_stops_nobody(people, crew):
    dispatcher, courier = crew
    good, stale, twice, gone = (dispatcher.create() for _ in range(4))
    assert dispatcher.delete(f"/api/deliveries/{gone['id']}", headers={"If-Match": "*"}).status_code == 204
    items = [
        {"id": good["id"], "version": 1},
        {"id": stale["id"], "version": 2},
        {"id": twice["id"]},
        {"id": twice["id"], "to": "cancelled"},
        {"id": gone["id"]},
        {"id": str(uuid4())},
        {"id": good["id"], "to": "nowhere"},
        {"id": "x", "more": 1},
        {"id": dispatcher.create()["id"], "occurred_at": "2126-01-01T00:00:00Z"},
        {"id": dispatcher.create()["id"], "to": "assigned", "courier_id": dispatcher.user_id},
        {"id": dispatcher.create()["id"], "to": "assigned", "courier_id": courier.user_id},
    ]
    response = moves(dispatcher, items, to="on_hold")

    assert codes(response) == [
        "on_hold", "stale_version", "on_hold", "validation_failed", "not_found", "not_found", "validation_failed",
        "validation_failed", "validation_failed", "validation_failed", "assigned",
    ]  # fmt: skip
    assert (response.json["ok"], response.json["failed"]) == (3, 8)
    errors = {
        error["pointer"]
        for item in response.json["items"]
        if not item["ok"]
        for error in item["problem"].get("errors", [])
    }
    assert errors == {
        "/items/3/id", "/items/6/to", "/items/7/id", "/items/7/more", "/items/8/occurred_at", "/items/9/courier_id",
    }  # fmt: skip
    assert [event["to_state"] for event in dispatcher.history(twice)] == ["pending", "on_hold"]


def test_what_is_not_theirs_to_see_is_not_found(people, crew):
    dispatcher, courier = crew
    customer, other = people.customer(), people.customer()
    mine, theirs = customer.create(), other.create()
    assert codes(moves(customer, of(mine, theirs), to="cancelled")) == ["cancelled", "not_found"]
    assert codes(moves(courier, of(theirs), to="picked_up")) == ["not_found"]
    assert codes(moves(dispatcher, of(theirs), to="assigned", courier_id=courier.user_id)) == ["assigned"]
    assert codes(moves(courier, of(theirs), to="picked_up")) == ["picked_up"]
    assert codes(moves(courier, of(theirs), to="lost")) == ["forbidden"]


def test_a_rehearsal_says_the_same_and_changes_nothing(app, crew):
    dispatcher, courier = crew
    before = list(everywhere(dispatcher, courier))
    assert {state for state, _ in before} == set(State)
    kept = [trace(dispatcher, one) for _, one in before]
    for to in ("assigned", "delivered"):
        more = {"courier_id": courier.user_id} if to == "assigned" else {}
        rehearsed = moves(dispatcher, of(*(one for _, one in before)), to=to, dry_run=True, **more)
        assert rehearsed.json["dry_run"] is True
        assert [trace(dispatcher, one) for _, one in before] == kept
    done = moves(dispatcher, of(*(one for _, one in before)), to="delivered")
    assert {**rehearsed.json, "dry_run": False, "items": 0} == {**done.json, "items": 0}
    said, came_true = rehearsed.json["items"], done.json["items"]
    for item in (*said, *came_true):
        (item["problem"] or {}).pop("request_id", None)
    assert said == came_true


@pytest.mark.parametrize("items", [None, [], {}, "x", 1, [{"id": str(uuid4())}] * 501])
def test_a_list_that_is_none_or_is_too_long_is_refused_whole(api, items):
    assert set(wrong(moves(api, items, to="cancelled"))) == {"/items"}


def test_what_holds_for_all_is_looked_at_once(api):
    response = moves(api, [{"id": str(uuid4())}], to="nowhere", note="a\u0007")
    assert set(wrong(response)) == {"/to", "/note"}
    assert [error["pointer"] for error in moves(api, of(api.create())).json["items"][0]["problem"]["errors"]] == [
        "/items/0/to"
    ]


def test_a_repeat_under_one_key_gets_the_same_bytes(api):
    delivery, headers = api.create(), {"Idempotency-Key": "k"}
    first, again = (moves(api, of(delivery), to="cancelled", headers=headers) for _ in range(2))
    assert codes(first) == ["cancelled"]
    assert first.data == again.data
    assert len(api.history(delivery)) == 2
    problem(moves(api, of(delivery), to="pending", headers=headers), 422, "key_reused")


def test_opposite_orders_and_single_moves_do_not_wait_for_each_other_for_ever(app, crew):
    dispatcher, _ = crew
    for _ in range(ROUNDS):
        deliveries = [dispatcher.create() for _ in range(12)]
        responses = race(
            *[lambda some=deliveries: moves(dispatcher, of(*some), to="picked_up")] * 3,
            *[lambda some=deliveries[::-1]: moves(dispatcher, of(*some), to="picked_up")] * 3,
            *(lambda one=one: dispatcher.move(one, "picked_up") for one in deliveries[::5]),
        )
        bulks, singles = responses[:6], responses[6:]
        assert {response.status_code for response in bulks} == {200}
        assert {response.status_code for response in singles} <= {200, 409}
        won = sum(response.json["ok"] for response in bulks) + sum(one.status_code == 200 for one in singles)
        assert won == len(deliveries)
        assert [len(dispatcher.history(one)) for one in deliveries] == [2] * 12
    assert broken(app) == []


def test_five_hundred_cost_as_many_statements_as_two(app, crew, count_statements):
    dispatcher, courier = crew
    endpoint(app, dispatcher.user_id, status="active")

    def cost(number):
        body = {
            "item_name": "X",
            "recipient": {"name": "G"},
            "destination": {"line1": "1", "city": "B", "country": "GB"},
        }
        made = dispatcher.post("/api/deliveries/bulk", json={"items": [body] * number}).json["items"]
        with count_statements() as statements:
            words = {"courier_id": courier.user_id, "note": "n"}
            assert moves(dispatcher, of(*made), to="assigned", **words).json["ok"] == number
        return len(statements)

    assert cost(500) == cost(2)  # of one alone nobody asks first whether anybody listens
