"""Attempts: handing messages off, and writing down what came of them; all in the caller's transaction.

Everything happens only WHERE lease_token is still the worker's own, so that one that was paused past its lease changes
nothing any more. All times are the database's.
"""

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, false, func, insert, literal, null, select, update

from delivery import logs
from delivery.database import db, now
from delivery.events import publish
from delivery.notifications.events import AttemptFailed, MessageSettled
from delivery.notifications.held import ClaimedMessage, Result, still_held
from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.states import JITTER, RETRY_AFTER_MAX_SECONDS, MessageState, Outcome, lifetime_seconds

logger = logging.getLogger(__name__)

# Longer than any send (the channels' time-outs), short enough that a dead worker's messages go out within the minute.
LEASE_SECONDS = 60

_AS_USUAL = frozenset({Outcome.SENT, Outcome.DEFERRED, Outcome.SUPERSEDED, Outcome.SUPPRESSED})

_messages, _attempts = OutboxMessage.__table__, OutboxAttempt.__table__
_m, _a = _messages.c, _attempts.c

_NO_LEASE: dict[str, Any] = {"lease_token": None, "lease_until": None, "handoff_at": None}
_REPORT: dict[str, Any] = {name: bindparam(name) for name in ("provider_ref", "error_class", "error")}
_FINISH = (
    update(_messages)
    .where(_m.id == bindparam("message"))
    .values(state=bindparam("new_state"), settled_at=now(), **_NO_LEASE, **_REPORT)
)
_END = (
    update(_attempts)
    .where(_a.message_id == bindparam("message"), _a.ended_at.is_(None))
    .values(outcome=bindparam("new_outcome"), ended_at=now(), **_REPORT)
)


def new_lease() -> dict[str, Any]:
    """The columns of a lease that begins now: should its holder die, the row is due again when it ends."""
    return {"lease_until": now(plus=LEASE_SECONDS), "next_at": now(plus=LEASE_SECONDS)}


def hand_off(messages: Sequence[ClaimedMessage], *, provider: str) -> list[ClaimedMessage]:
    """Begin an attempt of each: from the commit on, the provider may have it. Return those that are still ours.

    Their leases begin anew.
    """
    statement = (
        update(_messages)
        .where(still_held(messages))
        .values(handoff_at=now(), attempts=_m.attempts + 1, provider=provider, **new_lease())
        .returning(_m.id)
    )
    held = set(db.session.execute(statement).scalars())
    if held:
        _begin(held, provider=provider)
    return [replace(message, attempts=message.attempts + 1) for message in messages if message.id in held]


def _begin(ids: Iterable[UUID], *, provider: str) -> None:
    # n is not `attempts`: an attempt that was released is on record, but was not spent.
    latest = select(func.max(_a.n)).where(_a.message_id == _m.id).scalar_subquery()
    rows = select(_m.id, func.coalesce(latest, 0) + 1, now(), now(), literal(provider)).where(_m.id.in_(ids))
    columns = ["message_id", "n", "started_at", "handoff_at", "provider"]
    db.session.execute(insert(_attempts).from_select(columns, rows))


def settle(results: Sequence[Result]) -> set[UUID]:
    """Write down what came of messages; return the ids of those that are no longer ours, which are left alone."""
    if not results:
        return set()
    held = _lock([result.message for result in results])
    ours = [result for result in results if result.message.id in held]
    if finished := [_finish(result) for result in ours if result.message.after(result.outcome)[1] is None]:
        db.session.connection().execute(_FINISH, finished)
    states = {result.message.id: _try_again(result) or result.message.after(result.outcome)[0] for result in ours}
    if ours:
        db.session.connection().execute(_END, [_end(result) for result in ours])
    for result in ours:
        _log(result)
        if result.outcome is not Outcome.DEFERRED:
            publish(fact(result.message, states[result.message.id], error_class=result.error_class))
    return {result.message.id for result in results} - held


def fact(message: Any, state: str, *, error_class: str | None) -> MessageSettled | AttemptFailed:
    """Say what became of a message: a row of the outbox, or one in a worker's hands."""
    kind = AttemptFailed if state == MessageState.PENDING else MessageSettled
    names = (
        "id", "channel", "audience", "recipient_id", "owner_id", "delivery_id", "seq", "event", "template", "data",
    )  # fmt: skip
    return kind(**{name: getattr(message, name) for name in names}, state=state, error_class=error_class)


def _log(result: Result) -> None:
    """Leave a line of every outcome, wherever it came about: what fails in silence is found by nobody."""
    message = result.message
    with logs.bound(request_id=message.request_id):
        logger.log(
            logging.INFO if result.outcome in _AS_USUAL else logging.WARNING,
            "message %s",
            result.outcome,
            extra={
                "message_id": message.id,
                "channel": message.channel,
                "delivery_id": message.delivery_id,
                "attempt": message.attempts,
                "error_class": result.error_class,
            },
        )


def _lock(messages: Sequence[ClaimedMessage]) -> set[UUID]:
    return set(db.session.execute(select(_m.id).where(still_held(messages)).with_for_update()).scalars())


def _finish(result: Result) -> dict[str, Any]:
    state, _ = result.message.after(result.outcome)
    return {"message": result.message.id, "new_state": state, **_report(result)}


def _end(result: Result) -> dict[str, Any]:
    return {"message": result.message.id, "new_outcome": result.outcome, **_report(result)}


def _report(result: Result) -> dict[str, str | None]:
    return {"provider_ref": result.provider_ref, "error_class": result.error_class, "error": result.error}


def _try_again(result: Result) -> MessageState | None:
    """Put the message back for its next attempt, where there is one; what would then be too late is dead now."""
    _, base = result.message.after(result.outcome)
    if base is None:
        return None
    due = result.until or now(plus=_wait(base, retry_after=result.retry_after_seconds))
    too_late = _m.expires_at <= due if result.until is None else false()
    statement = (
        update(_messages)
        .where(_m.id == result.message.id)
        .values(
            state=case((too_late, MessageState.DEAD), else_=MessageState.PENDING),
            settled_at=case((too_late, now()), else_=null()),
            next_at=due,
            **_new_expiry(result),
            **_NO_LEASE,
            **_report(result),
        )
        .returning(_m.state)
    )
    return MessageState(db.session.execute(statement).scalar_one())


def _new_expiry(result: Result) -> dict[str, datetime]:
    """Give what was put off as long as it had at first: a text message of the night is of use in the morning."""
    life = lifetime_seconds(result.message.channel, result.message.template)
    return {"expires_at": result.until + timedelta(seconds=life)} if result.until and life else {}


def _wait(base: float, *, retry_after: float | None) -> float:
    """Return the seconds to wait: what the provider asked for, else the ladder's, jittered so that crowds disperse."""
    if retry_after is not None:
        return min(max(retry_after, 0), RETRY_AFTER_MAX_SECONDS)
    return base * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  not a secret


def release(messages: Sequence[ClaimedMessage], *, wait_seconds: float = 0, until: datetime | None = None) -> None:
    """Give messages back unsent; an attempt that was begun is recorded as released and not counted."""
    if not messages:
        return
    begun = case((_m.handoff_at.is_(None), 0), else_=1)
    statement = (
        update(_messages)
        .where(still_held(messages))
        .values(
            state=MessageState.PENDING,
            next_at=until or now(plus=wait_seconds),
            attempts=_m.attempts - begun,
            **_NO_LEASE,
        )
        .returning(_m.id)
    )
    end_attempts(db.session.execute(statement).scalars().all(), Outcome.RELEASED)


def end_attempts(ids: Sequence[UUID], outcome: Outcome) -> None:
    """Close the open attempts of messages that nobody sent or will ever report about."""
    if ids:
        open_ones = update(_attempts).where(_a.message_id.in_(ids), _a.ended_at.is_(None))
        db.session.execute(open_ones.values(ended_at=now(), outcome=outcome))
