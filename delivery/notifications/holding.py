"""The hold: a switch in the database that keeps every message in the outbox until somebody releases it.

A restored database does not know what was sent after its backup; so nothing is claimed while a hold stands. What a
worker holds already when it is set is still sent.
"""

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, exists, func, insert, or_, select, update

from delivery import audit
from delivery.database import db, new_id, now, reader
from delivery.events import publish
from delivery.notifications.attempts import NO_LEASE, end_attempts
from delivery.notifications.events import fact
from delivery.notifications.models import OutboxHold, OutboxMessage
from delivery.notifications.states import REPEATABLE, Channel, MessageState, Outcome

_holds, _messages = OutboxHold.__table__, OutboxMessage.__table__
_h, _m = _holds.c, _messages.c
_STANDS = exists().where(_h.released_at.is_(None))
_SINCE = select(func.min(_h.held_at)).where(_h.released_at.is_(None)).scalar_subquery()
# The first that stands: a second one changes nothing.
_HOLD: Select[Any] = select(_h.held_at, _h.reason).where(_h.released_at.is_(None)).order_by(_h.held_at, _h.id).limit(1)


def is_released() -> ColumnElement[bool]:
    """The condition that no hold stands; read once for a statement, however many rows it looks at."""
    return ~_STANDS


def standing() -> Row[Any] | None:
    """Return since when messages are held, and why: held_at, reason; None where they are sent."""
    return reader().execute(_HOLD).one_or_none()


def hold(reason: str) -> str:
    """Have no message claimed from the commit on, until release(); in the caller's transaction.

    Returns as much of the reason as is kept.
    """
    row = {"id": new_id(), "reason": reason[: OutboxHold.REASON_LENGTH], "held_at": now()}
    audit.record("outbox.held")
    kept: str = db.session.execute(insert(_holds).values(row).returning(_h.reason)).scalar_one()
    return kept


def release() -> bool:
    """Have messages sent again from the commit on; False: nothing held them."""
    ended = update(_holds).where(_h.released_at.is_(None)).values(released_at=now()).returning(_h.id)
    if not db.session.execute(ended).all():
        return False
    audit.record("outbox.released")
    return True


def keep_back(limit: int) -> int:
    """Make up to `limit` messages uncertain that were written before the hold and may not reach a person twice.

    They were perhaps sent after the backup, and a person decides. Webhooks and mails about an account wait on: twice
    is harmless. Returns how many there were. What a worker holds now is left to it.
    """
    chosen = (
        select(_m.id)
        .where(
            or_(_m.state == MessageState.PENDING, (_m.state == MessageState.SENDING) & (_m.lease_until < now())),
            _m.channel != Channel.WEBHOOK,
            _m.template.not_in(sorted(REPEATABLE)),
            _m.created_at <= _SINCE,
        )
        .order_by(_m.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    end = {"state": MessageState.UNCERTAIN, "settled_at": now(), "error_class": "restored", "error": None}
    kept = update(_messages).where(_m.id.in_(chosen)).values(**end, **NO_LEASE).returning(*_m)
    rows = db.session.execute(kept).all()
    end_attempts([row.id for row in rows], Outcome.UNCERTAIN)
    for row in rows:
        publish(fact(row, row.state, error_class=row.error_class))
    return len(rows)
