"""The life of a seeded delivery: a walk through the table of states, as long as its time has come."""

from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from itertools import accumulate
from random import Random
from typing import NamedTuple

from delivery.deliveries.states import TERMINAL, Part, State, allowed

_S = State
# How likely a move is, beside the other legal ones from there; what is not listed counts as RARE.
RARE = 1
USUAL: dict[tuple[State, State], int] = {
    (_S.DRAFT, _S.PENDING): 450,
    (_S.DRAFT, _S.CANCELLED): 50,
    (_S.PENDING, _S.ASSIGNED): 425,
    (_S.PENDING, _S.PICKED_UP): 25,
    (_S.PENDING, _S.CANCELLED): 15,
    (_S.ASSIGNED, _S.PICKED_UP): 450,
    (_S.ASSIGNED, _S.ASSIGNED): 15,
    (_S.ASSIGNED, _S.CANCELLED): 10,
    (_S.PICKED_UP, _S.IN_TRANSIT): 400,
    (_S.PICKED_UP, _S.OUT_FOR_DELIVERY): 75,
    (_S.IN_TRANSIT, _S.OUT_FOR_DELIVERY): 450,
    (_S.IN_TRANSIT, _S.ON_HOLD): 20,
    (_S.OUT_FOR_DELIVERY, _S.DELIVERED): 450,
    (_S.OUT_FOR_DELIVERY, _S.ATTEMPT_FAILED): 50,
    (_S.ATTEMPT_FAILED, _S.OUT_FOR_DELIVERY): 375,
    (_S.ATTEMPT_FAILED, _S.ASSIGNED): 375,
    (_S.ATTEMPT_FAILED, _S.RETURNING): 75,
    (_S.ON_HOLD, _S.IN_TRANSIT): 300,
    (_S.ON_HOLD, _S.OUT_FOR_DELIVERY): 100,
    (_S.ON_HOLD, _S.ASSIGNED): 300,
    (_S.ON_HOLD, _S.CANCELLED): 50,
    (_S.RETURNING, _S.RETURNED): 490,
}
# Hours that a delivery spends in a state, at least and at most.
HOURS: dict[State, tuple[float, float]] = {
    _S.DRAFT: (0.2, 48),
    _S.PENDING: (0.2, 12),
    _S.ASSIGNED: (0.3, 6),
    _S.PICKED_UP: (0.3, 4),
    _S.IN_TRANSIT: (4, 40),
    _S.OUT_FOR_DELIVERY: (0.5, 8),
    _S.ATTEMPT_FAILED: (1, 24),
    _S.ON_HOLD: (4, 48),
    _S.RETURNING: (12, 96),
}
OTHER_HOURS = (1.0, 24.0)
DRAFTS, FORGOTTEN = 0.04, 0.01
_DISPATCHER = frozenset({Part.DISPATCHER})


class Step(NamedTuple):
    """One row of a history: from where (None at the beginning), to where, and how long after the beginning."""

    source: State | None
    target: State
    after: timedelta


def life(random: Random, *, age: timedelta) -> Iterator[Step]:
    """Walk from creation to the end, or to where a delivery of this age has come by now; some are forgotten midway."""
    state = State.DRAFT if random.random() < DRAFTS else State.PENDING
    passed, picked_up = timedelta(), False
    yield Step(None, state, passed)
    while state not in TERMINAL and random.random() > FORGOTTEN:
        passed += timedelta(hours=random.uniform(*HOURS.get(state, OTHER_HOURS)))
        if passed > age:
            return
        source, state = state, _next(random, state, picked_up=picked_up)
        picked_up = picked_up or state is State.PICKED_UP
        yield Step(source, state, passed)


def _next(random: Random, state: State, *, picked_up: bool) -> State:
    targets, weights = _possible(state, picked_up)
    return random.choices(targets, cum_weights=weights)[0]


@cache
def _possible(state: State, picked_up: bool) -> tuple[list[State], list[int]]:  # noqa: FBT001  a key of the cache
    targets = allowed(state, _DISPATCHER, picked_up=picked_up)
    return targets, list(accumulate(USUAL.get((state, target), RARE) for target in targets))
