"""Limits on guessing and on sending: every attempt is a row, so they hold whatever happens to Redis.

Figures: NIST SP 800-63B-4, 3.2.2 (no more than 100 failures in a row); the rest is what Zulip, PyPI and Discourse use.
The keys are keyed hashes of what was typed, whether or not such an account exists, so that nobody learns which do.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import Index, LargeBinary, String, delete, insert, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, backend, db, delete_some, new_id, now, transaction, upsert
from delivery.errors import AppError, TooMany, Unavailable
from delivery.tokens import keyed_hash
from delivery.web.throttle import client_network

logger = logging.getLogger(__name__)

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Attempt(Base):
    """Somebody tried something that is limited; kept for as long as the longest limit looks back."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_subject", "action", "subject", "at"),
        Index("ix_attempts_address", "action", "address", "at"),
        Index("ix_attempts_at", "at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    action: Mapped[str] = mapped_column(String(20))
    # Keyed hashes: of the account, session or number that it is about, and of where it came from.
    subject: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    address: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    at: Mapped[datetime] = mapped_column(UTC)


class Streak(Base):
    """Attempts at an account since the last one that succeeded; without an end in time, as NIST wants it."""

    __tablename__ = "attempt_streaks"

    subject: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UTC, index=True)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many within so many seconds, counted for each subject, address, or pair of both; for all, without."""

    most: int
    seconds: int
    of: tuple[str, ...] = ()


SUBJECT, ADDRESS = "subject", "address"
LOGIN, FORGOT, RESEND, CONFIRM, REGISTER, REFRESH = "login", "forgot", "resend", "confirm", "register", "refresh"
ACCOUNT_MAIL, WEBHOOK_CALL = "account_mail", "webhook_call"
LIMITS: dict[str, Sequence[Limit]] = {
    LOGIN: (
        Limit(5, 15 * MINUTE, (SUBJECT, ADDRESS)),
        Limit(20, 15 * MINUTE, (ADDRESS,)),
        Limit(30, HOUR, (SUBJECT,)),
        Limit(1000, 5 * MINUTE),
    ),
    FORGOT: (
        # From one place less than in all, so that one stranger does not spend what the owner needs.
        Limit(2, HOUR, (SUBJECT, ADDRESS)),
        Limit(5, DAY, (SUBJECT, ADDRESS)),
        Limit(20, HOUR, (ADDRESS,)),
        Limit(5, HOUR, (SUBJECT,)),
        Limit(20, DAY, (SUBJECT,)),
    ),
    RESEND: (Limit(3, 6 * HOUR, (SUBJECT,)), Limit(20, HOUR, (ADDRESS,))),
    CONFIRM: (Limit(10, 10 * MINUTE, (ADDRESS,)),),
    REGISTER: (Limit(10, HOUR, (ADDRESS,)),),
    REFRESH: (Limit(60, HOUR, (SUBJECT,)),),
    # Counted when a mail is sent, whatever was answered to those who had it written.
    ACCOUNT_MAIL: (Limit(3, 6 * HOUR, (SUBJECT,)),),
    # Challenges and tests that an owner asks for: whose address it is, is not proven yet.
    WEBHOOK_CALL: (Limit(20, HOUR, (SUBJECT,)),),
}
TEXT_MESSAGE = "text_message"  # a setting says how many
MOST_IN_A_ROW = 100
KEPT_SECONDS, STREAK_KEPT_SECONDS = DAY, 400 * DAY
_attempts, _streaks = Attempt.__table__, Streak.__table__
_TURN = text("SELECT pg_advisory_xact_lock(:turn)")


@dataclass(frozen=True, slots=True)
class Taken:
    """An attempt that may go on; `barred` when too many in a row have failed at this subject before it."""

    id: UUID
    action: str
    subject: bytes | None
    address: bytes | None
    barred: bool = False


def take(action: str, subject: str | None = None, *, attempt_id: UUID | None = None) -> Taken:
    """Count an attempt and commit, before anything is tried: so many at once cannot slip through together.

    Args:
        action: a key of LIMITS, or TEXT_MESSAGE.
        subject: what it is about: an e-mail address, the id of a session or account, a telephone number.
        attempt_id: when it may be tried again under this id, and counts once all the same.

    Raises:
        TooMany: a limit is reached; this one was not counted.
    """
    address = client_network()
    keys = {
        SUBJECT: _key_of(subject) if subject else None,
        ADDRESS: keyed_hash("limits.address", address) if address else None,
    }
    identity = attempt_id or new_id()
    with transaction():
        _wait_for_turn(keys)
        if not _is_counted(attempt_id):
            _refuse_beyond(action, keys)
            row = {"id": identity, "action": action, "at": now(), **keys}
            db.session.execute(insert(_attempts).values(row))
        count = _lengthen_streak(keys[SUBJECT]) if action == LOGIN else 0
    return Taken(identity, action, keys[SUBJECT], keys[ADDRESS], barred=count > MOST_IN_A_ROW)


@contextmanager
def back_upon(error: type[AppError], taken: Taken) -> Iterator[None]:
    """Give an attempt back when it comes to nothing for another reason than what is limited."""
    try:
        yield
    except error:
        with transaction():
            db.session.execute(delete(_attempts).where(_attempts.c.id == taken.id))
            if taken.action == LOGIN:
                shorter = update(_streaks).where(_streaks.c.subject == taken.subject, _streaks.c.count > 0)
                db.session.execute(shorter.values(count=_streaks.c.count - 1))
        raise


def back_when_busy(taken: Taken) -> AbstractContextManager[None]:
    """Give an attempt back when we are too busy to try it: our load is to lock nobody out."""
    return back_upon(Unavailable, taken)


def forgive(taken: Taken) -> None:
    """Forget what this address has tried at this subject: it has succeeded. In the caller's transaction."""
    same = (_attempts.c.action == taken.action, _attempts.c.subject == taken.subject)
    from_here = _attempts.c.address.is_(None) if taken.address is None else _attempts.c.address == taken.address
    db.session.execute(delete(_attempts).where(*same, from_here))
    db.session.execute(delete(_streaks).where(_streaks.c.subject == taken.subject))


def forgive_all(subject: str) -> None:
    """Forget every failed login at a subject, wherever it came from: its owner has a new password."""
    key = _key_of(subject)
    db.session.execute(delete(_attempts).where(_attempts.c.action == LOGIN, _attempts.c.subject == key))
    db.session.execute(delete(_streaks).where(_streaks.c.subject == key))


def _key_of(subject: str) -> bytes:
    return keyed_hash("limits.subject", subject.strip().lower())


def purge(limit: int) -> int:
    """Delete up to `limit` rows that no limit looks at any more; returns how many there were."""
    return max(
        delete_some(_attempts.c.id, _attempts.c.at < now(plus=-KEPT_SECONDS), limit=limit),
        delete_some(_streaks.c.subject, _streaks.c.last_at < now(plus=-STREAK_KEPT_SECONDS), limit=limit),
    )


def _wait_for_turn(keys: dict[str, bytes | None]) -> None:
    """Let those who would count the same rows count them one after another; SQLite has one writer anyway."""
    if backend() == "sqlite":
        return
    # In one order, so that no two wait for each other.
    for turn in sorted(int.from_bytes(key[:8], signed=True) for key in keys.values() if key):
        db.session.execute(_TURN, {"turn": turn})


def _is_counted(attempt_id: UUID | None) -> bool:
    if attempt_id is None:
        return False
    return db.session.execute(select(_attempts.c.id).where(_attempts.c.id == attempt_id)).one_or_none() is not None


def _limits_of(action: str) -> Sequence[Limit]:
    if action == TEXT_MESSAGE:
        return (Limit(current_app.config["SMS_PER_NUMBER_PER_DAY"], DAY, (SUBJECT,)),)
    return LIMITS[action]


def _refuse_beyond(action: str, keys: dict[str, bytes | None]) -> None:
    limits = [limit for limit in _limits_of(action) if all(keys[name] for name in limit.of)]
    oldest = [_oldest_that_counts(action, keys, limit) for limit in limits]
    row = db.session.execute(select(now(), *oldest)).one()
    reached = [
        (limit, limit.seconds - (row[0] - at).total_seconds()) for limit, at in zip(limits, row[1:], strict=True) if at
    ]
    if reached:
        limit, seconds = max(reached, key=lambda one: one[1])
        logger.warning("a limit is reached", extra={"code": action, "count": limit.most})
        raise TooMany("Too many attempts.", most=limit.most, retry_after_seconds=max(1, ceil(seconds)))


def _oldest_that_counts(action: str, keys: dict[str, bytes | None], limit: Limit) -> Any:
    """Return the attempt that, when it is too old to count, makes room for another; NULL where there is room."""
    same = [_attempts.c[name] == keys[name] for name in limit.of]
    recent = _attempts.c.at > now(plus=-limit.seconds)
    newest = select(_attempts.c.at).where(_attempts.c.action == action, *same, recent).order_by(_attempts.c.at.desc())
    return newest.offset(limit.most - 1).limit(1).scalar_subquery()


def _lengthen_streak(subject: bytes | None) -> int:
    statement = upsert(_streaks).values(subject=subject, count=1, last_at=now())
    statement = statement.on_conflict_do_update(
        index_elements=[_streaks.c.subject], set_={"count": _streaks.c.count + 1, "last_at": now()}
    )
    count: int = db.session.execute(statement.returning(_streaks.c.count)).scalar_one()
    return count
