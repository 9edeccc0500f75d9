"""Moving a delivery over HTTP: what the answer offers is what is then accepted, for each role and from each state."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.deliveries.contract import STATES, WAYS, WAYS_BEFORE_PICKUP, legal, may
from tests.web.answers import problem, wrong

BEFORE_PICKUP = {"draft", "pending", "assigned", "cancelled"}


@pytest.fixture
def cast(people):
    """Owner, courier and dispatcher of one delivery, and how each of them takes part in it."""
    return {"owner": people.customer(), "courier": people.courier(), "dispatcher": people.dispatcher()}


def brought_to(cast, ways):
    """A delivery of the owner's that has come to a state, with the courier assigned where there is one."""
    delivery = cast["owner"].create()
    for to in ways:
        more = {"courier_id": cast["courier"].user_id} if to == "assigned" else {}
        response = cast["dispatcher"].move(delivery, to, **more)
        assert response.status_code == 200, response.text
    return delivery


def places():
    """(state, picked up, the way there)"""
    for state, ways in WAYS.items():
        yield state, state not in BEFORE_PICKUP, ways
    for state, ways in WAYS_BEFORE_PICKUP.items():
        yield state, False, ways


@pytest.mark.parametrize("part", ["owner", "courier", "dispatcher"])
def test_what_may_not_be_done_is_refused_and_changes_nothing(cast, part):
    """From every state to every state: 409 where the table has no such move, 403 where it is somebody else's."""
    for state, picked_up, ways in places():
        delivery = brought_to(cast, ways)
        who = cast[part]
        if part == "courier" and state in {"pending", "cancelled"} and "assigned" not in ways:
            problem(who.move(delivery, "picked_up"), 404)
            continue
        seen = who.get(f"/api/deliveries/{delivery['id']}").json
        offered = [to for to in STATES if legal(state, to, picked_up=picked_up) and may(state, to, {part})]
        assert seen["status"] == state
        assert seen["allowed_transitions"] == offered
        for to in set(STATES) - set(offered):
            response = who.move(delivery, to)
            if legal(state, to, picked_up=picked_up):
                assert problem(response, 403, "forbidden")["allowed"] == offered
            else:
                body = problem(response, 409, "illegal_move")
                assert (body["from"], body["to"], body["allowed"]) == (state, to, offered)
        assert who.get(f"/api/deliveries/{delivery['id']}").json == seen


@pytest.mark.parametrize("part", ["owner", "courier", "dispatcher"])
def test_what_is_offered_is_accepted(cast, part):
    for state, picked_up, ways in places():
        for to in STATES:
            if not (legal(state, to, picked_up=picked_up) and may(state, to, {part})):
                continue
            delivery = brought_to(cast, ways)
            response = cast[part].move(delivery, to)
            if part == "courier" and "assigned" not in ways:
                problem(response, 404)
            elif to == "assigned" and "assigned" not in ways:
                assert wrong(response) == {"/courier_id": "invalid"}, "nobody to assign it to"
            else:
                assert response.status_code == 200, f"{state} to {to}: {response.text}"
                assert response.json["status"] == to


def test_a_draft_becomes_pending_or_cancelled_by_its_owner(cast):
    for to in ("pending", "cancelled"):
        draft = cast["owner"].create(draft=True)
        assert draft["allowed_transitions"] == ["pending", "cancelled"]
        problem(cast["owner"].move(draft, "picked_up"), 409)
        assert cast["owner"].move(draft, to).json["status"] == to


@pytest.mark.parametrize("through", ["on_hold", "attempt_failed"])
def test_once_picked_up_there_is_no_way_back(cast, through):
    """Not even by a detour through states that a parcel reaches before pick-up too."""
    delivery = brought_to(cast, ["assigned", "picked_up", "in_transit", through])
    for to in ("pending", "assigned", "cancelled"):
        body = problem(cast["dispatcher"].move(delivery, to), 409, "illegal_move")
        assert not {"pending", "assigned", "cancelled"} & set(body["allowed"])
    path = f"/api/deliveries/{delivery['id']}"
    problem(cast["dispatcher"].delete(path, headers={"If-Match": "*"}), 409, "picked_up")
    assert cast["dispatcher"].walk(delivery, "out_for_delivery", "delivered")["status"] == "delivered"


@pytest.mark.parametrize("way", [["on_hold", "in_transit"], ["on_hold", "out_for_delivery"], ["on_hold", "returning"]])
def test_a_parcel_on_the_road_has_been_picked_up_even_if_nobody_said_so(cast, way):
    """Otherwise it could go on hold again and be deleted or given to somebody else, while it is in a van."""
    delivery = brought_to(cast, way)
    seen = cast["dispatcher"].get(f"/api/deliveries/{delivery['id']}").json
    assert seen["picked_up_at"] is not None
    problem(cast["dispatcher"].delete(f"/api/deliveries/{delivery['id']}", headers={"If-Match": "*"}), 409)
    assert not {"pending", "assigned", "cancelled"} & set(seen["allowed_transitions"])


def test_the_first_pick_up_counts(cast):
    delivery = brought_to(cast, ["assigned"])
    earlier = "2026-01-02T03:04:05Z"
    moved = cast["courier"].move(delivery, "picked_up", occurred_at=earlier).json
    assert moved["picked_up_at"] == earlier
    assert cast["courier"].walk(delivery, "in_transit", "attempt_failed", "out_for_delivery")["picked_up_at"] == earlier


def test_a_late_report_says_when_it_happened(cast):
    delivery = brought_to(cast, [])
    when = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    response = cast["dispatcher"].move(delivery, "on_hold", occurred_at=when)

    event = cast["dispatcher"].history(delivery)[-1]
    assert datetime.fromisoformat(event["occurred_at"]) == datetime.fromisoformat(when)
    assert event["occurred_at"].endswith("Z")
    assert event["recorded_at"] > event["occurred_at"]
    assert response.status_code == 200


def test_nothing_happens_in_the_future(cast):
    delivery = brought_to(cast, [])
    soon = datetime.now(UTC) + timedelta(minutes=4)
    later = datetime.now(UTC) + timedelta(minutes=6)
    response = cast["dispatcher"].move(delivery, "on_hold", occurred_at=later.isoformat())
    assert wrong(response) == {"/occurred_at": "invalid"}
    assert cast["dispatcher"].move(delivery, "on_hold", occurred_at=soon.isoformat()).status_code == 200


def test_what_was_said_about_a_move_stands_in_its_history(cast):
    delivery = brought_to(cast, ["assigned"])
    said = {
        "reason_code": "nobody_home", "note": "Third floor.\nNo lift.", "public_note": "We come again tomorrow.",
        "location": {"lat": 51.45, "lng": -2.6},
    }  # fmt: skip
    response = cast["courier"].move(delivery, "attempt_failed", **said)
    assert response.status_code == 200
    event = cast["dispatcher"].history(delivery)[-1]
    assert {name: event[name] for name in said} == said
    assert cast["courier"].history(delivery)[-1] == event
    assert cast["owner"].history(delivery)[-1] == event | {"note": None}, "notes are for staff"
    assert (event["from_state"], event["to_state"], event["seq"]) == ("assigned", "attempt_failed", 3)
    assert (event["actor_type"], event["actor_id"]) == ("user", cast["courier"].user_id)


def test_a_repeated_move_is_refused_and_a_replayed_one_is_not(cast):
    delivery = brought_to(cast, [])
    path, key = f"/api/deliveries/{delivery['id']}/transitions", {"Idempotency-Key": "k"}
    first = cast["owner"].post(path, json={"to": "cancelled"}, headers=key)
    problem(cast["owner"].move(delivery, "cancelled"), 409, "illegal_move")
    assert cast["owner"].post(path, json={"to": "cancelled"}, headers=key).data == first.data


def test_a_state_is_written_nowhere_else(cast):
    delivery = brought_to(cast, [])
    path = f"/api/deliveries/{delivery['id']}"
    for name, value in {"status": "delivered", "picked_up_at": None, "courier_id": cast["courier"].user_id}.items():
        response = cast["dispatcher"].patch(path, json={name: value}, headers={"If-Match": "*"})
        assert wrong(response) == {f"/{name}": "unknown"}
