"""The scenarios: how the life of a test delivery can go; plain Python."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from delivery.deliveries.states import State

KEPT_DAYS = 30


class Scenario(StrEnum):
    HAPPY = "happy"
    FAILED_THEN_DELIVERED = "failed_then_delivered"
    RETURNED = "returned"
    LOST = "lost"


class Step(NamedTuple):
    """A move, and what a courier would say with it."""

    to: State
    reason_code: str | None = None
    public_note: str | None = None


_S = State
# No step is `assigned`: that names a courier's account, and a parcel may be picked up without.
_ON_THE_ROAD = (Step(_S.PENDING), Step(_S.PICKED_UP), Step(_S.IN_TRANSIT))
_AT_THE_DOOR = (*_ON_THE_ROAD, Step(_S.OUT_FOR_DELIVERY))
_NOBODY = Step(_S.ATTEMPT_FAILED, "nobody_home", "Rang twice, nobody at home.")
STEPS: dict[Scenario, tuple[Step, ...]] = {
    Scenario.HAPPY: (*_AT_THE_DOOR, Step(_S.DELIVERED)),
    Scenario.FAILED_THEN_DELIVERED: (*_AT_THE_DOOR, _NOBODY, Step(_S.OUT_FOR_DELIVERY), Step(_S.DELIVERED)),
    Scenario.RETURNED: (*_AT_THE_DOOR, _NOBODY, Step(_S.RETURNING), Step(_S.RETURNED)),
    Scenario.LOST: (*_ON_THE_ROAD, Step(_S.LOST)),
}
MOST_STEPS = max(map(len, STEPS.values()))
ABOUT: dict[Scenario, str] = {
    Scenario.HAPPY: "Picked up, on the road, at the door, delivered.",
    Scenario.FAILED_THEN_DELIVERED: "Nobody is at home the first time; the second attempt succeeds.",
    Scenario.RETURNED: "Nobody is at home, and it goes back to its sender.",
    Scenario.LOST: "It is lost on the road.",
}


def left(scenario: Scenario, been: Iterable[str]) -> Sequence[Step]:
    """Return the steps that a delivery has still before it, which has been in these states, in this order.

    What it was besides, by other moves, does not matter: a delivery may change its scenario on the road.
    """
    steps = STEPS[scenario]
    done = 0
    for state in been:
        if done < len(steps) and steps[done].to == state:
            done += 1
    return steps[done:]
