"""Reads of the outbox, for people: which messages there are and what became of them; they write nothing.

Each list follows an index, the newest or oldest first, and stops when it has enough: by state, owner or delivery where
one is given, else by id. What is filtered besides is read and passed over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, func, or_, select, true, union_all

from delivery import clock, replica
from delivery.database import oldest_id, reader
from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.states import MOST_ATTEMPTS, REPEATED_AS_NEW, RESENDABLE

_messages, _attempts = OutboxMessage.__table__, OutboxAttempt.__table__
_m = _messages.c
# Ids tell when they were made, by the clock of the host that made them; so far they may be from the database's.
CLOCKS_APART_SECONDS = 3600
_copies = _messages.alias("copies")
# A command that sends what arrived once more can be run again after a break: it takes no copy, and nothing twice.
_NOT_YET_REPEATED = (
    _m.state.in_(sorted(REPEATED_AS_NEW))
    & _m.resend_of.is_(None)
    & ~select(_copies.c.id).where(_copies.c.resend_of == _m.id).exists()
)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which messages; what is not given does not matter."""

    ids: Sequence[UUID] = ()
    delivery_id: UUID | None = None
    state: Sequence[str] = ()
    channel: str | None = None
    event: str | None = None
    audience: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what a row must meet but for its state, which the query goes by."""
        equal = {name: getattr(self, name) for name in ("delivery_id", "channel", "event", "audience")}
        conditions: list[ColumnElement[bool]] = [_m[name] == value for name, value in equal.items() if value]
        if self.ids:
            conditions.append(_m.id.in_(self.ids))
        if self.since:
            earlier_seconds = CLOCKS_APART_SECONDS + clock.offset.total_seconds()
            earliest = oldest_id(self.since, minus_seconds=earlier_seconds)
            conditions += [_m.created_at >= self.since, _m.id >= earliest]
        if self.until:
            latest = oldest_id(self.until, minus_seconds=-CLOCKS_APART_SECONDS)
            conditions += [_m.created_at < self.until, _m.id < latest]
        return conditions


def locale_of(message_id: UUID) -> str | None:
    """Return the locale that a message was written with; None: it has none, or is no more."""
    return reader().execute(select(_m.locale).where(_m.id == message_id)).scalar_one_or_none()


def page(
    chosen: Filter, *, visible: ColumnElement[bool] | None = None, before: UUID | None = None, limit: int
) -> Sequence[Row[Any]]:
    """Return messages, the newest first, of those that `visible` lets through, beginning before an id."""
    conditions = [*chosen.conditions(), true() if visible is None else visible]
    if before:
        conditions.append(_m.id < before)
    return replica.rows(_in_order(conditions, chosen.state, descending=True, limit=limit))


def to_resend(chosen: Filter, *, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return chosen messages that can be sent again, the oldest first, beginning after an id."""
    return _oldest(chosen, _may_be_resent(chosen), after=after, limit=limit)


def to_cancel(chosen: Filter, *, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return chosen messages that wait, the oldest first, beginning after an id."""
    return _oldest(replace(chosen, state=["pending"]), true(), after=after, limit=limit)


def _oldest(chosen: Filter, also: ColumnElement[bool], *, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    conditions = [*chosen.conditions(), also]
    if after:
        conditions.append(_m.id > after)
    return reader().execute(_in_order(conditions, chosen.state, descending=False, limit=limit)).all()


def _may_be_resent(chosen: Filter) -> ColumnElement[bool]:
    if chosen.ids or not REPEATED_AS_NEW & set(chosen.state):
        return true()
    return or_(_m.state.in_(sorted(RESENDABLE)), _NOT_YET_REPEATED)


def _in_order(
    conditions: Sequence[ColumnElement[bool]], states: Iterable[str], *, descending: bool, limit: int
) -> Select[Any]:
    """Build a page by id. Of several states it takes the first of each: no index has them in one order."""
    order = _m.id.desc() if descending else _m.id.asc()
    whole = select(_messages).order_by(order).limit(limit)
    wanted = sorted(set(states))
    if len(wanted) < 2:  # noqa: PLR2004  # several
        return whole.where(*conditions, *(_m.state == one for one in wanted))
    of_each = select(_m.id).where(*conditions).order_by(order).limit(limit)
    first = (select(of_each.where(_m.state == one).subquery().c.id) for one in wanted)
    return whole.where(_m.id.in_(union_all(*first)))


def counts_to_resend(chosen: Filter) -> dict[tuple[str, str], int]:
    """Return how many chosen messages can be sent again, by channel and state. Reads each of them."""
    return _counts(chosen, _may_be_resent(chosen))


def counts_to_cancel(chosen: Filter) -> dict[tuple[str, str], int]:
    """Return how many chosen messages wait, by channel and state. Reads each of them."""
    return _counts(replace(chosen, state=["pending"]), true())


def _counts(chosen: Filter, also: ColumnElement[bool]) -> dict[tuple[str, str], int]:
    query = select(_m.channel, _m.state, func.count()).where(*chosen.conditions(), also)
    if chosen.state:
        query = query.where(_m.state.in_(sorted(set(chosen.state))))
    rows = reader().execute(query.group_by(_m.channel, _m.state).order_by(_m.channel, _m.state))
    return {(channel, state): count for channel, state, count in rows}


def newest_to(recipient_id: UUID, template: str) -> UUID | None:
    """Return the newest message of a template to somebody."""
    newest = _to(recipient_id, template).order_by(_m.id.desc()).limit(1)
    return reader().execute(newest).scalar_one_or_none()


def followed(recipient_id: Any, template: str, message_id: Any) -> ColumnElement[bool]:
    """Tell, inside another statement, whether somebody has a message of a template after this one."""
    return _to(recipient_id, template).where(_m.id > message_id).exists()


def _to(recipient_id: Any, template: str) -> Select[Any]:
    return select(_m.id).where(_m.recipient_id == recipient_id, _m.template == template)


def message_by_id(message_id: UUID) -> Row[Any] | None:
    """Return one message."""
    return reader().execute(select(_messages).where(_m.id == message_id)).one_or_none()


def attempts_of(message_id: UUID) -> Sequence[Row[Any]]:
    """Return the newest attempts to send a message, the first of them first."""
    newest = select(_attempts).where(_attempts.c.message_id == message_id).order_by(_attempts.c.n.desc())
    return reader().execute(newest.limit(MOST_ATTEMPTS)).all()[::-1]
