"""The states of a delivery and the table of its legal moves; plain Python, no imports of ours."""

from enum import StrEnum
from functools import cache


class State(StrEnum):
    DRAFT = "draft"
    PENDING = "pending"
    ASSIGNED = "assigned"
    PICKED_UP = "picked_up"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    ATTEMPT_FAILED = "attempt_failed"
    ON_HOLD = "on_hold"
    RETURNING = "returning"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    LOST = "lost"


class Part(StrEnum):
    """What a person is to a delivery."""

    OWNER = "owner"
    COURIER = "courier"
    DISPATCHER = "dispatcher"


_S = State
# To which state from which ones.
SOURCES: dict[State, frozenset[State]] = {
    _S.PENDING: frozenset({_S.DRAFT, _S.ASSIGNED, _S.ATTEMPT_FAILED, _S.ON_HOLD}),
    _S.ASSIGNED: frozenset({_S.PENDING, _S.ATTEMPT_FAILED, _S.ON_HOLD, _S.ASSIGNED}),
    _S.PICKED_UP: frozenset({_S.ASSIGNED, _S.PENDING}),
    _S.IN_TRANSIT: frozenset({_S.PICKED_UP, _S.ON_HOLD}),
    _S.OUT_FOR_DELIVERY: frozenset({_S.PICKED_UP, _S.IN_TRANSIT, _S.ATTEMPT_FAILED, _S.ON_HOLD}),
    _S.DELIVERED: frozenset({_S.PICKED_UP, _S.IN_TRANSIT, _S.OUT_FOR_DELIVERY}),
    _S.ATTEMPT_FAILED: frozenset({_S.ASSIGNED, _S.IN_TRANSIT, _S.OUT_FOR_DELIVERY}),
    _S.ON_HOLD: frozenset({_S.PENDING, _S.ASSIGNED, _S.PICKED_UP, _S.IN_TRANSIT, _S.ATTEMPT_FAILED}),
    _S.RETURNING: frozenset({_S.ATTEMPT_FAILED, _S.IN_TRANSIT, _S.ON_HOLD, _S.OUT_FOR_DELIVERY}),
    _S.RETURNED: frozenset({_S.RETURNING}),
    _S.CANCELLED: frozenset({_S.DRAFT, _S.PENDING, _S.ASSIGNED, _S.ON_HOLD}),
    _S.LOST: frozenset({_S.PICKED_UP, _S.IN_TRANSIT, _S.OUT_FOR_DELIVERY, _S.RETURNING}),
}
TERMINAL = frozenset({_S.DELIVERED, _S.RETURNED, _S.CANCELLED, _S.LOST})
INITIAL = frozenset({_S.DRAFT, _S.PENDING})
# Where a parcel that has been picked up cannot go back to.
BEFORE_PICKUP = frozenset({_S.DRAFT, _S.PENDING, _S.ASSIGNED, _S.CANCELLED})
# Where a delivery may be deleted, as long as nobody has picked it up.
DELETABLE = BEFORE_PICKUP | {_S.ON_HOLD, _S.ATTEMPT_FAILED}
# Where a parcel is only when somebody has picked it up, even if the move to `picked_up` was left out.
AFTER_PICKUP = frozenset(State) - DELETABLE

_COURIER_TARGETS = frozenset(State) - BEFORE_PICKUP - {_S.LOST}


def _who(source: State, target: State) -> frozenset[Part]:
    parts = {Part.DISPATCHER}
    if target is State.CANCELLED or (source, target) == (State.DRAFT, State.PENDING):
        parts.add(Part.OWNER)
    if target in _COURIER_TARGETS and source not in {State.DRAFT, State.PENDING}:
        parts.add(Part.COURIER)
    return frozenset(parts)


# Every legal move and who may make it.
MOVES: dict[tuple[State, State], frozenset[Part]] = {
    (source, target): _who(source, target) for target, sources in SOURCES.items() for source in sources
}


def is_legal(source: State, target: State, *, picked_up: bool) -> bool:
    """Tell whether the table has this move; once picked up there is no way back before pick-up."""
    return (source, target) in MOVES and not (picked_up and target in BEFORE_PICKUP)


def allowed(source: State, parts: frozenset[Part], *, picked_up: bool) -> list[State]:
    """Return the states that somebody with these parts may move a delivery to, in the order of State."""
    return list(_allowed(source, parts, picked_up=picked_up))


@cache  # asked for every delivery of every list
def _allowed(source: State, parts: frozenset[Part], *, picked_up: bool) -> tuple[State, ...]:
    return tuple(
        target for target in State if is_legal(source, target, picked_up=picked_up) and MOVES[source, target] & parts
    )
