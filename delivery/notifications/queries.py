"""Reads of the outbox, for people: which messages there are and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select

from delivery.database import now, reader
from delivery.notifications.models import OutboxAttempt, OutboxMessage

_messages, _attempts = OutboxMessage.__table__, OutboxAttempt.__table__
_m = _messages.c


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which messages; what is not given does not matter."""

    ids: Sequence[UUID] = ()
    delivery_id: UUID | None = None
    states: Sequence[str] = ()
    channel: str | None = None
    since: timedelta | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if self.ids:
            conditions.append(_m.id.in_(self.ids))
        if self.delivery_id:
            conditions.append(_m.delivery_id == self.delivery_id)
        if self.states:
            conditions.append(_m.state.in_(self.states))
        if self.channel:
            conditions.append(_m.channel == self.channel)
        if self.since:
            conditions.append(_m.created_at >= now(plus=-self.since.total_seconds()))
        return conditions


def newest(chosen: Filter, *, limit: int) -> Sequence[Row[Any]]:
    """Return messages, the newest first."""
    return reader().execute(select(_messages).where(*chosen.conditions()).order_by(_m.id.desc()).limit(limit)).all()


def attempts_of(message_id: UUID) -> Sequence[Row[Any]]:
    """Return the attempts to send a message, the first first."""
    attempts = select(_attempts).where(_attempts.c.message_id == message_id).order_by(_attempts.c.n)
    return reader().execute(attempts).all()
