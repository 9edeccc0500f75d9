"""What can happen to a message, as facts; published in the transaction that writes it down."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from delivery.notifications.states import MessageState


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    """`state` is the message's new one; `error_class` says why, unless it was sent."""

    id: UUID
    channel: str
    state: str
    audience: str
    recipient_id: UUID
    owner_id: UUID | None
    delivery_id: UUID | None
    seq: int | None
    event: str
    template: str
    data: Mapping[str, Any]
    error_class: str | None


class MessageSettled(_Fact):
    """A message reached an end: nothing more happens to it by itself."""


class AttemptFailed(_Fact):
    """An attempt failed, and there will be another."""


def fact(message: Any, state: str, *, error_class: str | None) -> MessageSettled | AttemptFailed:
    """Say what became of a message: a row of the outbox, or one in a worker's hands."""
    kind = AttemptFailed if state == MessageState.PENDING else MessageSettled
    names = (
        "id", "channel", "audience", "recipient_id", "owner_id", "delivery_id", "seq", "event", "template", "data",
    )  # fmt: skip
    return kind(**{name: getattr(message, name) for name in names}, state=state, error_class=error_class)
