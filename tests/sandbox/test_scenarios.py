"""Test deliveries are moved along a scenario, by ordinary moves that nobody in person makes."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from delivery.deliveries.states import is_legal
from delivery.sandbox.states import STEPS, Scenario
from tests.auth.keys import key_of, sandbox_of
from tests.factories import Api
from tests.sandbox.testing import advance
from tests.web.answers import problem, wrong

ENDS = {"happy": "delivered", "failed_then_delivered": "delivered", "returned": "returned", "lost": "lost"}


@pytest.fixture
def key(api):
    return sandbox_of(api)


@pytest.mark.parametrize("scenario", Scenario)
def test_each_scenario_leads_step_by_step_to_its_end(key, scenario):
    delivery = key.create()
    been = []
    while (answer := advance(key, delivery, scenario=scenario)).status_code == 200:
        assert len(answer.json["made"]) == 1
        been += answer.json["made"]
    assert ["pending", *been] == [step.to for step in STEPS[scenario]]
    problem(answer, 409, "scenario_over")
    assert (answer.json["scenario"], answer.json["delivery_status"]) == (scenario, ENDS[scenario])
    assert key.get(f"/api/deliveries/{delivery['id']}").json["status"] == ENDS[scenario]


@pytest.mark.parametrize("scenario", Scenario)
def test_every_step_is_a_legal_move(scenario):
    states = [step.to for step in STEPS[scenario]]
    for place, (source, target) in enumerate(pairwise(states)):
        assert is_legal(source, target, picked_up=place > 0)


def test_the_moves_stand_in_the_history_as_the_sandboxes(key):
    delivery = key.create()
    answer = advance(key, delivery, scenario="returned", to_end=True)

    assert answer.json["made"] == [step.to for step in STEPS[Scenario.RETURNED][1:]]
    assert answer.json["next"] is None
    assert answer.headers["ETag"] == f'"{answer.json["delivery"]["version"]}"'
    created, *moves = key.history(delivery)
    assert created["actor_type"] == "api_key"
    assert {(event["actor_type"], event["actor_id"]) for event in moves} == {("sandbox", None)}
    assert [event["seq"] for event in moves] == list(range(2, 8))
    failed = next(event for event in moves if event["to_state"] == "attempt_failed")
    assert (failed["reason_code"], failed["public_note"]) == ("nobody_home", "Rang twice, nobody at home.")


def test_a_scenario_once_named_goes_on_and_another_takes_over(key):
    delivery = key.create()
    advance(key, delivery, scenario="failed_then_delivered", steps=4)
    again = advance(key, delivery).json
    assert (again["scenario"], again["made"], again["next"]) == (
        "failed_then_delivered", ["out_for_delivery"], "delivered",
    )  # fmt: skip
    other = key.create()
    advance(key, other, steps=2)
    assert advance(key, other, scenario="lost").json["made"] == ["lost"]


def test_a_draft_begins_with_pending_and_one_on_the_road_by_other_moves_is_met_there(api, people):
    customer, staff = sandbox_of(api), sandbox_of(people.dispatcher())
    draft = customer.create(draft=True)
    assert advance(customer, draft).json["made"] == ["pending"]
    assert staff.move(draft, "picked_up").status_code == 200
    assert advance(customer, draft, steps=2).json["made"] == ["in_transit", "out_for_delivery"]
    assert customer.get("/api/sandbox/scenarios").json["items"][0]["steps"][0] == "pending"


def test_where_no_move_leads_on_it_says_so_and_nothing_moves(api, people):
    customer, staff = sandbox_of(api), sandbox_of(people.dispatcher())
    delivery = customer.create()
    staff.walk(delivery, "on_hold")
    answer = advance(customer, delivery, to_end=True)
    problem(answer, 409, "illegal_move")
    assert (answer.json["from"], answer.json["to"]) == ("on_hold", "picked_up")
    assert len(customer.history(delivery)) == 2
    customer.delete(f"/api/deliveries/{delivery['id']}", headers={"If-Match": "*"})
    problem(advance(customer, delivery), 404, "not_found")


def test_a_repeat_under_the_same_key_moves_once(key):
    delivery = key.create()
    first = advance(key, delivery, headers={"Idempotency-Key": "step-1"})
    second = advance(key, delivery, headers={"Idempotency-Key": "step-1"})
    assert second.data == first.data
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(key.history(delivery)) == 2


def again(key):
    """The same caller, with a connection of its own."""
    return Api(key.app, user_id=key.user_id, token=key.headers["Authorization"].partition(" ")[2])


def test_calls_at_once_make_each_move_once(key):
    delivery = key.create()
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(advance, again(key), delivery) for _ in range(6)]
    statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [200] * 4 + [409] * 2
    assert [event["to_state"] for event in key.history(delivery)] == [step.to for step in STEPS[Scenario.HAPPY]]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"scenario": "eaten_by_a_dog"}, "/scenario"),
        ({"steps": 0}, "/steps"),
        ({"steps": 99}, "/steps"),
        ({"steps": "2"}, "/steps"),
        ({"steps": 2, "to_end": True}, "/steps"),
        ({"to": "delivered"}, "/to"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(key, body, where):
    delivery = key.create()
    assert wrong(advance(key, delivery, **body)).keys() == {where}
    assert len(key.history(delivery)) == 1


def test_neither_a_live_key_nor_a_person_gets_in(api):
    delivery = sandbox_of(api).create()
    for caller in (api, key_of(api)):
        problem(advance(caller, delivery), 403, "test_only")
        problem(caller.get("/api/sandbox/messages"), 403, "test_only")
        problem(caller.get("/api/sandbox/scenarios"), 403, "test_only")


def test_what_is_live_is_not_moved(api):
    live = api.create()
    problem(advance(sandbox_of(api), live), 404, "not_found")
    assert api.get(f"/api/deliveries/{live['id']}").json["status"] == "pending"
