"""A message in a worker's hands, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_

from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import REPEATABLE, Channel, MessageState, Outcome, after

_m = OutboxMessage.__table__.c


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that this worker may send while its lease lasts; `attempts` counts those that were begun."""

    id: UUID
    channel: str
    audience: str
    recipient_id: UUID
    owner_id: UUID | None
    delivery_id: UUID | None
    seq: int | None
    event: str
    template: str
    locale: str | None
    lane: str
    data: dict[str, Any]
    body: str | None
    attempts: int
    request_id: str | None
    lease_token: UUID

    @property
    def repeatable(self) -> bool:
        """May it reach its recipient twice, if need be?"""
        return self.channel == Channel.WEBHOOK or self.template in REPEATABLE

    def after(self, outcome: Outcome) -> tuple[MessageState, float | None]:
        """Return the state that this outcome leads to and the base seconds to wait, where there is another attempt."""
        return after(outcome, channel=Channel(self.channel), attempts=self.attempts, repeatable=self.repeatable)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a message; the error's text is for operators and holds no address."""

    message: ClaimedMessage
    outcome: Outcome
    provider_ref: str | None = None
    error_class: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    # A failure that says nothing against the provider: it answers, and does not want this recipient now.
    of_recipient: bool = False
    # When it was put off to, where it was.
    until: datetime | None = None


def still_held(messages: Iterable[ClaimedMessage]) -> ColumnElement[bool]:
    """The condition under which a worker may touch these rows: it holds them and nobody took them over.

    The lease may have run out, as long as nobody has noticed.
    """
    pairs = {message.id: message.lease_token for message in messages}
    return and_(_m.id.in_(pairs), _m.lease_token.in_(set(pairs.values())))
