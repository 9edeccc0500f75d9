"""The claim: the one statement that decides who sends a message; in the caller's transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Row,
    String,
    bindparam,
    exists,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)

from delivery import database
from delivery.database import db, new_id, now
from delivery.notifications.attempts import end_attempts, new_lease, settle
from delivery.notifications.held import ClaimedMessage, Result, still_held
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import Channel, MessageState, Outcome

_messages = OutboxMessage.__table__
_m = _messages.c


def _is_open(table: FromClause) -> ColumnElement[bool]:
    # Literals: with bound values neither database could use its partial indexes.
    return table.c.state.in_([literal_column("'pending'"), literal_column("'sending'")])


def _claimable(channel: ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
    """Due, and the first of its lane. Of a row in somebody's hands next_at is the end of the lease."""
    earlier = _messages.alias("earlier")
    somebody_before = exists().where(
        earlier.c.lane == _m.lane,
        _is_open(earlier),
        # By seq, since ids made on two hosts may disagree about the order.
        tuple_(func.coalesce(earlier.c.seq, 0), earlier.c.id) < tuple_(func.coalesce(_m.seq, 0), _m.id),
    )
    return _m.channel == channel, _is_open(_messages), _m.next_at <= now(), ~somebody_before


# Built once: building them takes longer than running them.
# MATERIALIZED, because PostgreSQL may otherwise run the LIMIT again for each row and take more than asked.
# SQLite knows no row locks and needs none: its transaction began with the write lock.
_BEST = (
    select(_m.id)
    .where(*_claimable(bindparam("of_channel", type_=String)))
    .order_by(_m.next_at)
    .limit(bindparam("at_most", type_=Integer))
    .with_for_update(skip_locked=True)
    .cte("best")
    .prefix_with("MATERIALIZED")
)
_TAKE = (
    update(_messages)
    .where(_m.id.in_(select(_BEST.c.id)))
    .values(state=MessageState.SENDING, lease_token=bindparam("token"), **new_lease())
    .returning(*_messages.c, (_m.expires_at <= now()).label("expired"))
)
_DUE = select(*(exists().where(*_claimable(literal(str(channel)))).label(channel) for channel in Channel))


def claim(channel: str, *, limit: int) -> list[ClaimedMessage]:
    """Take up to `limit` due messages, the oldest first; of a lane only its first open row.

    What has expired, and what a dead worker may have sent, is settled here and not returned.
    """
    asked = {"of_channel": channel, "at_most": limit}
    while rows := db.session.execute(_TAKE, {**asked, "token": new_id()}).all():
        fates = [(message := _message(row), row, _dead_end(message, row)) for row in rows]
        settle([dead_end for _, _, dead_end in fates if dead_end])
        _forget([message for message, row, dead_end in fates if row.handoff_at and not dead_end])
        if alive := [message for message, _, dead_end in fates if not dead_end]:
            return sorted(alive, key=lambda message: message.id)
    return []


def _message(row: Row[Any]) -> ClaimedMessage:
    return ClaimedMessage(**{name: getattr(row, name) for name in ClaimedMessage.__slots__})


def _dead_end(message: ClaimedMessage, row: Row[Any]) -> Result | None:
    """Return the end of a message that must not be sent: a dead worker may have sent it, or it is too late."""
    if row.handoff_at and message.after(Outcome.UNCERTAIN)[1] is None:
        return Result(
            message, Outcome.UNCERTAIN, error_class="worker_lost", error="The worker died while it sent this."
        )
    if row.expired:
        return Result(message, Outcome.EXPIRED, error_class="expired", error="There was no time left to send this.")
    return None


def _forget(messages: Sequence[ClaimedMessage]) -> None:
    """Close the attempts that dead workers left behind on messages that may be sent twice."""
    if messages:
        db.session.execute(update(_messages).where(still_held(messages)).values(handoff_at=None))
        end_attempts([message.id for message in messages], Outcome.LEASE_LOST)


def due_channels() -> list[Channel]:
    """Return the channels in which something can be sent now; one probe of a partial index each."""
    row = database.reader().execute(_DUE).one()
    return [channel for channel in Channel if getattr(row, channel)]
