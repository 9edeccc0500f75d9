"""What an endpoint can be, what it can be told of, and when it has failed for too long; plain Python."""

from collections.abc import Collection
from datetime import timedelta
from enum import StrEnum

from delivery.deliveries.states import State


class EndpointStatus(StrEnum):
    UNVERIFIED = "unverified"
    ACTIVE = "active"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    GONE = "gone"  # it answered 410
    FAILING = "failing"
    BY_OWNER = "by_owner"
    BY_OPERATOR = "by_operator"


EVERYTHING = "*"
VERIFY, TEST = "endpoint.verify", "endpoint.test"
_DELIVERY = ("created", "edited", "deleted", *State)
# What an endpoint may choose from; drafts become known by `created` and `pending`.
EVENT_TYPES = tuple(dict.fromkeys(f"delivery.{name}" for name in _DELIVERY if name != State.DRAFT))
MOST_ENDPOINTS = 10
OLD_SECRET_LIVES = timedelta(hours=24)
FAILING_FOR = timedelta(days=5)
REPLAYED_FOR = timedelta(days=30)
# An event of the history that says `deleted` in its reason took the delivery away.
_DELETIONS = frozenset({"deleted", "owner_left", "expired"})


def type_of(*, kind: str, seq: int, to_state: str, reason_code: str | None) -> str:
    """Return the type of an event of a delivery's history."""
    if seq == 1:
        return "delivery.created"
    if kind == "edited":
        return "delivery.deleted" if reason_code in _DELETIONS else "delivery.edited"
    return f"delivery.{to_state}"


def is_wanted(event: str, chosen: Collection[str]) -> bool:
    """Tell whether an endpoint's filter lets a type of event through."""
    return EVERYTHING in chosen or event in chosen
