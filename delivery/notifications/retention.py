"""How long settled messages are kept; what is open is never thrown away.

The rows are found by state and id, whose index there is anyhow: an id tells when its message was written, which was
before it was settled. So retention costs nothing when messages are written or settled.
"""

from collections.abc import Sequence
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, delete, or_, select

from delivery import clock
from delivery.database import db, now, oldest_id
from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.queries import CLOCKS_APART_SECONDS
from delivery.notifications.states import OPEN, RESENDABLE, MessageState

_messages, _attempts = OutboxMessage.__table__, OutboxAttempt.__table__
_m = _messages.c
_DAY = 86_400
_GIVEN_UP = sorted(RESENDABLE)
_DONE = sorted(frozenset(MessageState) - OPEN - RESENDABLE)
_repeats = _messages.alias("repeats")


def purge(limit: int) -> int:
    """Delete up to `limit` messages that were settled long enough ago, with their attempts; returns how many."""
    done = _purge(_DONE, days=current_app.config["NOTIFICATIONS_KEEP_DAYS"], limit=limit)
    if done == limit:
        return done
    return done + _purge(_GIVEN_UP, days=current_app.config["NOTIFICATIONS_KEEP_FAILED_DAYS"], limit=limit - done)


def is_past(columns: Any) -> ColumnElement[bool]:
    """The condition that a message, of this table or of one that is like it, was settled long enough ago to go."""
    kept = ((_DONE, "NOTIFICATIONS_KEEP_DAYS"), (_GIVEN_UP, "NOTIFICATIONS_KEEP_FAILED_DAYS"))
    return or_(
        *(
            columns.state.in_(states) & (columns.settled_at < now(plus=-current_app.config[setting] * _DAY))
            for states, setting in kept
        )
    )


def _purge(states: Sequence[str], *, days: int, limit: int) -> int:
    """Lock the rows before anything is deleted: somebody may send one of them once more at this moment.

    A message stays while another repeats it, which names it.
    """
    written_before = oldest_id(clock.now(), minus_seconds=days * _DAY - CLOCKS_APART_SECONDS)
    old = (
        select(_m.id)
        .where(
            _m.state.in_(states),
            _m.id < written_before,
            _m.settled_at < now(plus=-days * _DAY),
            ~select(_repeats.c.id).where(_repeats.c.resend_of == _m.id).exists(),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = db.session.execute(old).scalars().all()
    if ids:
        db.session.execute(delete(_attempts).where(_attempts.c.message_id.in_(ids)))
        db.session.execute(delete(_messages).where(_m.id.in_(ids)))
    return len(ids)
