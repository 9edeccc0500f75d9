"""Lanes: first in, first out, until what waits is stale; then newer news for a person supersedes it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    and_,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from delivery.database import db, now
from delivery.events import publish
from delivery.notifications.events import fact
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import (
    HOLD_SECONDS,
    QUIET_HOURS,
    STALE_ATTEMPTS,
    STALE_SECONDS,
    Channel,
    MessageState,
    Outcome,
)

_messages = OutboxMessage.__table__
_m = _messages.c


def is_open(table: FromClause) -> ColumnElement[bool]:
    # Literals: with bound values neither database could use its partial indexes.
    return table.c.state.in_([literal_column("'pending'"), literal_column("'sending'")])


def stale(table: FromClause) -> ColumnElement[bool]:
    """The condition under which a waiting message holds its lane no longer."""
    c = table.c
    return case(
        (c.channel == Channel.WEBHOOK, and_(c.attempts > 0, c.created_at <= now(plus=-HOLD_SECONDS))),
        # Mails about an account do not replace each other: one that fails lets the next pass.
        (c.delivery_id.is_(None), c.attempts > 0),
        else_=or_(
            c.attempts >= STALE_ATTEMPTS,
            c.created_at <= now(plus=-STALE_SECONDS),
            func.coalesce(c.error_class, "") == QUIET_HOURS,
        ),
    )


def _place(table: FromClause) -> ColumnElement[Any]:
    """Where in its lane: by seq, since ids made on two hosts may disagree about the order."""
    return tuple_(func.coalesce(table.c.seq, 0), table.c.id)


def first(table: FromClause) -> ColumnElement[bool]:
    """The condition that nothing before it in its lane holds a message back."""
    earlier = _messages.alias("earlier")
    held_back = exists().where(
        earlier.c.lane == table.c.lane,
        is_open(earlier),
        _place(earlier) < _place(table),
        or_(earlier.c.state == literal_column("'sending'"), ~stale(earlier)),
    )
    return ~held_back


def untangle(taken: Sequence[Row[Any]]) -> tuple[set[UUID], set[UUID]]:
    """Compare claimed news for people with what else is open in their lanes.

    Returns the ids of those that newer news supersedes, and of those that must wait after all, because what they had
    passed is in another worker's hands by now. What waits and was passed is superseded here.
    """
    news = [row for row in taken if row.delivery_id is not None and row.channel != Channel.WEBHOOK]
    if not news:
        return set(), set()
    lanes = _open_in({row.lane for row in news})
    overtaken = {row.id for row in news if row.stale and _place_of(row) < lanes[row.lane][-1]}
    passed = {
        row.id: {identity for seq, identity in lanes[row.lane] if (seq, identity) < _place_of(row)} - overtaken
        for row in news
        if row.id not in overtaken
    }
    superseded = _supersede(set().union(*passed.values()))
    return overtaken, {identity for identity, before in passed.items() if before - superseded}


def _place_of(row: Row[Any]) -> tuple[int, UUID]:
    return row.seq or 0, row.id


def _open_in(lanes: Iterable[str]) -> dict[str, list[tuple[int, UUID]]]:
    rows = select(_m.lane, func.coalesce(_m.seq, 0), _m.id).where(_m.lane.in_(lanes), is_open(_messages))
    places = defaultdict(list)
    for lane, seq, identity in db.session.execute(rows):
        places[lane].append((seq, identity))
    return {lane: sorted(found) for lane, found in places.items()}


def _supersede(ids: set[UUID]) -> set[UUID]:
    """Settle those of these messages that wait and that nobody else has locked; return their ids."""
    if not ids:
        return set()
    waiting = select(_m.id).where(_m.id.in_(ids), _m.state == MessageState.PENDING).with_for_update(skip_locked=True)
    end = {"state": MessageState.SUPERSEDED, "settled_at": now(), "error_class": Outcome.SUPERSEDED, "error": None}
    rows = db.session.execute(update(_messages).where(_m.id.in_(waiting)).values(end).returning(*_m)).all()
    for row in rows:
        publish(fact(row, row.state, error_class=row.error_class))
    return {row.id for row in rows}
