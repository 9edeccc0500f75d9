"""Random walks of everybody at once: whatever is tried in whatever order, histories stay legal and unbroken."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.deliveries.chains import broken, moves
from tests.deliveries.contract import OWNERS, STATES, TABLE, legal, may
from tests.factories import delivery_in


class Walk(RuleBasedStateMachine):
    """A model of one delivery, by the contract's table, beside the real one."""

    cast = None

    def __init__(self):
        super().__init__()
        self.delivery = None

    @property
    def path(self):
        return f"/api/deliveries/{self.delivery['id']}"

    def must_stay(self, response):
        assert response.status_code in {403, 404, 409, 412, 422}, response.text
        seen = self.cast["dispatcher"].get(self.path).json
        assert (seen["status"], seen["version"]) == (self.state, self.version)

    def went_to(self, state, response):
        assert response.status_code == 200, response.text
        self.version += 1
        self.state = state
        self.picked_up |= state not in {"draft", "pending", "assigned", "cancelled", "on_hold", "attempt_failed"}
        assert (response.json["status"], response.json["version"]) == (state, self.version)
        assert (response.json["picked_up_at"] is not None) == self.picked_up

    @precondition(lambda self: self.delivery is None)
    @rule(draft=st.booleans())
    def create(self, draft):
        self.delivery = self.cast["owner"].create(draft=draft)
        self.state, self.version, self.picked_up, self.courier = self.delivery["status"], 1, False, False

    @precondition(lambda self: self.delivery is not None)
    @rule(part=st.sampled_from(["owner", "courier", "dispatcher", "dispatcher"]), to=st.sampled_from(STATES))
    def try_to_move(self, part, to):
        self.move(part, to)

    @precondition(lambda self: self.delivery is not None)
    @rule(data=st.data())
    def move_legally(self, data):
        """Walk on, so that runs do not end in refusals."""
        ways = [to for to in STATES if legal(self.state, to, picked_up=self.picked_up)]
        if ways:
            self.move("dispatcher", data.draw(st.sampled_from(ways)))

    def move(self, part, to):
        body = {"to": to}
        if to == "assigned" and part == "dispatcher":
            body["courier_id"] = self.cast["courier"].user_id
        response = self.cast[part].post(f"{self.path}/transitions", json=body)
        visible = part != "courier" or self.courier
        if visible and legal(self.state, to, picked_up=self.picked_up) and may(self.state, to, {part}):
            self.went_to(to, response)
            self.courier = (self.courier or to == "assigned") and to != "pending"
        else:
            self.must_stay(response)

    @precondition(lambda self: self.delivery is not None)
    @rule(part=st.sampled_from(["owner", "courier", "dispatcher"]), stale=st.booleans())
    def edit(self, part, stale):
        seen = f'"{self.version - stale}"'
        response = self.cast[part].patch(self.path, json={"item_name": "B"}, headers={"If-Match": seen})
        finished = not any(self.state in sources for sources in TABLE.values())
        if part == "courier" or stale or finished:
            self.must_stay(response)
        else:
            self.went_to(self.state, response)

    @precondition(lambda self: self.delivery is not None)
    @rule(part=st.sampled_from(["owner", "courier", "dispatcher"]))
    def try_to_delete_it(self, part):
        """Only what is on the road: the others are deleted in test_delete.py."""
        if self.picked_up or part == "courier":
            self.must_stay(self.cast[part].delete(self.path, headers={"If-Match": "*"}))


@pytest.mark.timeout(120)
def test_no_walk_breaks_a_history(app, people):
    cast = {"owner": people.customer(), "courier": people.courier(), "dispatcher": people.dispatcher()}

    run_state_machine_as_test(
        type("WalkHere", (Walk,), {"cast": cast}),
        settings=settings(
            max_examples=10,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert broken(app) == []
    assert moves(app) <= {(source, target) for target, sources in TABLE.items() for source in sources}


def test_a_walk_through_every_legal_move_is_kept_unbroken(app, people):
    """Every pair of the table once: no history can hold less, and none of these may break it."""
    dispatcher, courier = people.dispatcher(), people.courier()
    for target, sources in TABLE.items():
        for source in sources:
            walk(dispatcher, courier, [*way_to(source), target])
    assert broken(app) == []
    assert moves(app) == {(source, target) for target, sources in TABLE.items() for source in sources}
    assert moves(app) >= OWNERS


def way_to(state):
    """The shortest way there before pick-up where there is one, so that every pair of the table is still legal."""
    return {
        "draft": ["draft"], "pending": [], "assigned": ["assigned"], "picked_up": ["picked_up"],
        "in_transit": ["picked_up", "in_transit"], "out_for_delivery": ["picked_up", "out_for_delivery"],
        "attempt_failed": ["assigned", "attempt_failed"], "on_hold": ["on_hold"],
        "returning": ["on_hold", "returning"],
    }[state]  # fmt: skip


def walk(dispatcher, courier, ways):
    draft = ways[0] == "draft"
    delivery = dispatcher.post("/api/deliveries", json=delivery_in(draft=draft)).json
    for to in ways[draft:]:
        more = {"courier_id": courier.user_id} if to == "assigned" else {}
        response = dispatcher.move(delivery, to, **more)
        assert response.status_code == 200, (ways, response.text)
