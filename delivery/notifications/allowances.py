"""What text messages may cost: so many for a number, so many segments in one, so many segments a day.

Counted in transactions of their own, before the provider can have anything: many workers at once cannot slip through.
"""

import logging
from datetime import date
from typing import Any

from flask import current_app
from sqlalchemy import Date, Row, select, true, update
from sqlalchemy.orm import Mapped, mapped_column

from delivery import clock, limits
from delivery.database import Base, db, reader, transaction, upsert
from delivery.errors import TooMany
from delivery.notifications.channels import Letter
from delivery.notifications.held import ClaimedMessage, Result
from delivery.notifications.models import OutboxMessage
from delivery.notifications.segments import segments_of
from delivery.notifications.states import Channel, Outcome

logger = logging.getLogger(__name__)


class TextSpending(Base):
    """How many segments of text messages a day (UTC) has cost, and how many messages it had none left for."""

    __tablename__ = "text_spending"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    segments: Mapped[int]
    refused: Mapped[int]


_messages, _days = OutboxMessage.__table__, TextSpending.__table__
_d = _days.c


def within_allowances(message: ClaimedMessage, letter: Letter) -> Letter | Result:
    """Return a letter that may be sent, or why it may not; a text message is counted, once however often it is tried.

    One that is too long is not shortened: half a link is worse than a mail instead.
    """
    if message.channel != Channel.SMS:
        return letter
    count = segments_of(letter.text)
    if count > current_app.config["SMS_MAX_SEGMENTS"]:
        return Result(message, Outcome.PERMANENT, error_class="too_long", error=f"It takes {count} segments.")
    try:
        limits.take(limits.TEXT_MESSAGE, letter.address, attempt_id=message.id)
    except TooMany:
        return Result(message, Outcome.SUPPRESSED, error_class="sms_limit")
    if not _spend(message, count):
        return Result(message, Outcome.SUPPRESSED, error_class="daily_cap")
    return letter


def today() -> Row[Any] | None:
    """Return what this day has cost so far; None: nothing was sent yet."""
    return reader().execute(select(_days).where(_d.day == _day())).one_or_none()


def _spend(message: ClaimedMessage, count: int) -> bool:
    """Count the segments of a message towards today's cap, and keep them with it; False: there is no room."""
    counted = update(_messages).where(_messages.c.id == message.id, _messages.c.segments.is_(None))
    with transaction():
        if db.session.execute(counted.values(segments=count).returning(_messages.c.id)).one_or_none() is None:
            return True  # by an attempt before this one
        if _has_room(count):
            return True
        db.session.execute(update(_messages).where(_messages.c.id == message.id).values(segments=None))
        refused = _refuse()
    if refused == 1:
        logger.error("no text messages any more today: SMS_DAILY_CAP is reached", extra={"count": _cap()})
    return False


def _has_room(count: int) -> bool:
    """Add to today's segments, if they stay within the cap; one statement, so that workers take turns at it."""
    fits = true() if _cap() == 0 else _d.segments + count <= _cap()
    first = upsert(_days).values(day=_day(), segments=0, refused=0).on_conflict_do_nothing()
    more = update(_days).where(_d.day == _day(), fits).values(segments=_d.segments + count).returning(_d.day)
    db.session.execute(first)
    return db.session.execute(more).one_or_none() is not None


def _refuse() -> int:
    one_more = update(_days).where(_d.day == _day()).values(refused=_d.refused + 1).returning(_d.refused)
    refused: int = db.session.execute(one_more).scalar_one()
    return refused


def _cap() -> int:
    cap: int = current_app.config["SMS_DAILY_CAP"]
    return cap


def _day() -> date:
    return clock.now().date()
