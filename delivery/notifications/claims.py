"""The claim: the one statement that decides who sends a message; in the caller's transaction."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Row,
    Select,
    String,
    Update,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    true,
    update,
)

from delivery import database
from delivery.database import backend, db, new_id, now
from delivery.notifications import holding, lanes, registry
from delivery.notifications.attempts import end_attempts, new_lease, release, settle
from delivery.notifications.breakers import key_of_provider
from delivery.notifications.held import ClaimedMessage, Result, still_held
from delivery.notifications.models import Breaker, OutboxMessage
from delivery.notifications.states import ENDPOINT_CONCURRENCY, Channel, Outcome

_messages = OutboxMessage.__table__
_m, _b = _messages.c, Breaker.__table__.c
# How soon a message is looked at again that had passed one which another worker took at that moment.
AGAIN_SECONDS = 1.0


def claimable(channel: ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
    """Due, not held back in its lane, and no hold stands. Of a row in somebody's hands next_at is the lease's end."""
    due = (_m.channel == channel, lanes.is_open(_messages), _m.next_at <= now())
    return *due, lanes.first(_messages), holding.is_released()


# Statements are built once: building them takes longer than running them.
# MATERIALIZED, because PostgreSQL may otherwise run the LIMIT again for each row and take more than asked.
# SQLite knows no row locks and needs none: its transaction began with the write lock.
def _taking(best: CTE) -> Update:
    return (
        update(_messages)
        .where(_m.id.in_(select(best.c.id)))
        .values(state="sending", lease_token=bindparam("token"), **new_lease())
        .returning(*_m, (_m.expires_at <= now()).label("expired"), lanes.stale(_messages).label("stale"))
    )


def _best(due: Select[Any], *, order: ColumnElement[Any]) -> CTE:
    at_most = bindparam("at_most", type_=Integer)
    best = due.order_by(order).limit(at_most).with_for_update(skip_locked=True, of=_messages)
    return best.cte("best").prefix_with("MATERIALIZED")


@cache
def _take(*, newest: bool) -> Update:
    conditions = claimable(bindparam("of_channel", type_=String))
    return _taking(_best(select(_m.id).where(*conditions), order=_m.next_at.desc() if newest else _m.next_at))


@cache
def _take_webhooks(on: str) -> Update:
    """Take a few of each endpoint that has a place free, so that one with a long queue stands in nobody's way."""
    endpoints = _endpoints()
    free = select(endpoints.c.id).where(endpoints.c.id.is_not(None), _in_hand(endpoints) < ENDPOINT_CONCURRENCY)
    free_ones = free.cte("free_ones")
    webhook: ColumnElement[str] = literal_column("'webhook'")
    few = (
        select(_m.id)
        .where(_m.recipient_id == free_ones.c.id, *claimable(webhook))
        .order_by(_m.next_at)
        .limit(ENDPOINT_CONCURRENCY)
        .correlate(free_ones)
    )
    if on == "postgresql":
        each = few.lateral("each")
        candidates = select(each.c.id).select_from(free_ones.join(each, true()))
    else:
        candidate = _messages.alias("candidate")
        candidates = select(candidate.c.id).select_from(free_ones.join(candidate, candidate.c.id.in_(few)))
    # MATERIALIZED and joined, or a planner without statistics looks for the candidates anew for each due message.
    chosen = candidates.cte("candidates").prefix_with("MATERIALIZED")
    still = (_m.channel == webhook, lanes.is_open(_messages), _m.next_at <= now())
    best = select(_m.id).select_from(chosen.join(_messages, _m.id == chosen.c.id)).where(*still)
    return _taking(_best(best, order=_m.next_at))


def _endpoints() -> CTE:
    """All endpoints for which something is open, by leaps through the index of open webhooks."""
    m = _messages.alias("open")
    one = select(m.c.recipient_id).where(m.c.channel == literal_column("'webhook'"), lanes.is_open(m))
    one = one.order_by(m.c.recipient_id).limit(1)
    first = select(one.scalar_subquery().label("id")).cte("endpoints", recursive=True)
    after = one.where(m.c.recipient_id > first.c.id).correlate(first).scalar_subquery()
    return first.union_all(select(after).where(first.c.id.is_not(None)))


def _in_hand(endpoints: CTE) -> ColumnElement[int]:
    m = _messages.alias("in_hand")
    mine = (m.c.channel == literal_column("'webhook'"), lanes.is_open(m), m.c.recipient_id == endpoints.c.id)
    # A lease's end is next_at, too: with it the index leads past all that waits.
    held = (m.c.state == literal_column("'sending'"), m.c.next_at > now())
    return select(func.count()).select_from(m).where(*mine, *held).correlate(endpoints).scalar_subquery()


def _working(channel: Channel) -> ColumnElement[bool]:
    paused = exists().where(_b.key == bindparam(f"key_of_{channel}", type_=String), _b.paused_until > now())
    return ~paused


_DUE = select(
    *(
        (exists().where(*claimable(literal_column(f"'{channel}'"))) & _working(channel)).label(channel)
        for channel in Channel
    )
)


def claim(channel: str, *, limit: int, newest: bool = False) -> list[ClaimedMessage]:
    """Take up to `limit` due messages, the oldest or the newest first; of a lane only what nothing holds back.

    What has expired or was superseded, and what a dead worker may have sent, is settled here and not returned.
    """
    asked = {"of_channel": channel, "at_most": limit}
    take = _take_webhooks(backend()) if channel == Channel.WEBHOOK else _take(newest=newest)
    while rows := db.session.execute(take, {**asked, "token": new_id()}).all():
        if alive := _sort_out(rows):
            return sorted(alive, key=lambda message: message.id)
    return []


def _sort_out(rows: Sequence[Row[Any]]) -> list[ClaimedMessage]:
    """Settle what must not be sent, give back what has to wait, and return the others."""
    taken = {row.id: _message(row) for row in rows}
    overtaken, early = lanes.untangle(rows)
    ends = {row.id: end for row in rows if (end := _dead_end(taken[row.id], row, overtaken=row.id in overtaken))}
    settle(list(ends.values()))
    release([taken[identity] for identity in early - ends.keys()], wait_seconds=AGAIN_SECONDS)
    _forget([taken[row.id] for row in rows if row.handoff_at and row.id not in ends])
    return [message for identity, message in taken.items() if identity not in ends.keys() | early]


def _message(row: Row[Any]) -> ClaimedMessage:
    return ClaimedMessage(**{name: getattr(row, name) for name in ClaimedMessage.__slots__})


def _dead_end(message: ClaimedMessage, row: Row[Any], *, overtaken: bool) -> Result | None:
    """Return the end of a message that must not be sent: a dead worker may have sent it, or it is too late."""
    if row.handoff_at and message.after(Outcome.UNCERTAIN)[1] is None:
        return Result(
            message, Outcome.UNCERTAIN, error_class="worker_lost", error="The worker died while it sent this."
        )
    if row.expired:
        return Result(message, Outcome.EXPIRED, error_class="expired", error="There was no time left to send this.")
    if overtaken:
        return Result(message, Outcome.SUPERSEDED, error_class="superseded")
    return None


def _forget(messages: Sequence[ClaimedMessage]) -> None:
    """Close the attempts that dead workers left behind on messages that may be sent twice."""
    if messages:
        db.session.execute(update(_messages).where(still_held(messages)).values(handoff_at=None))
        end_attempts([message.id for message in messages], Outcome.LEASE_LOST)


def due_channels() -> list[Channel]:
    """Return the channels in which something can be sent now; one probe of a partial index each."""
    keys = {f"key_of_{channel}": key_of_provider(channel, registry.transport(channel).name) for channel in Channel}
    row = database.reader().execute(_DUE, keys).one()
    return [channel for channel in Channel if getattr(row, channel)]
