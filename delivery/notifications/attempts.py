"""Attempts: handing messages off, and writing down what came of them; all in the caller's transaction.

Everything happens only WHERE lease_token is still the worker's own, so that one that was paused past its lease changes
nothing any more. All times are the database's.
"""

import logging
import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    String,
    Text,
    Update,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    column,
    false,
    func,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningInsert

from delivery import logs
from delivery.database import backend, db, now
from delivery.events import publish
from delivery.notifications.events import fact
from delivery.notifications.held import ClaimedMessage, Result, still_held
from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.states import (
    BREAKER_SECONDS,
    JITTER,
    RETRY_AFTER_MAX_SECONDS,
    MessageState,
    Outcome,
    lifetime_seconds,
)

logger = logging.getLogger(__name__)

# Longer than any send (the channels' time-outs), short enough that a dead worker's messages go out within the minute.
LEASE_SECONDS = 60

_AS_USUAL = frozenset({Outcome.SENT, Outcome.DEFERRED, Outcome.SUPERSEDED, Outcome.SUPPRESSED})

_messages, _attempts = OutboxMessage.__table__, OutboxAttempt.__table__
_m, _a = _messages.c, _attempts.c

NO_LEASE: dict[str, Any] = {"lease_token": None, "lease_until": None, "handoff_at": None}
_REPORT = ("provider_ref", "error_class", "error")
# One row by one, for SQLite; to PostgreSQL go whole batches, as arrays.
_REPORTED: dict[str, Any] = {name: bindparam(name) for name in _REPORT}
_FINISH = (
    update(_messages)
    .where(_m.id == bindparam("message"))
    .values(state=bindparam("new_state"), settled_at=now(), **NO_LEASE, **_REPORTED)
)
_END = (
    update(_attempts)
    .where(_a.message_id == bindparam("message"), _a.ended_at.is_(None))
    .values(outcome=bindparam("new_outcome"), ended_at=now(), **_REPORTED)
)


def _finish_all() -> Select[Any]:
    """Build the statement that finishes a batch, attempts included, where the worker still holds it (PostgreSQL)."""
    kinds: dict[str, Any] = {"id": Uuid(), "token": Uuid(), "state": String(), "outcome": String()}
    kinds |= {"provider_ref": String(), "error_class": String(), "error": Text()}
    arrays = (bindparam(f"{name}s", type_=ARRAY(kind)) for name, kind in kinds.items())
    rows = func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in kinds.items()))
    given = select(rows.render_derived(name="rows")).cte("given")
    report = {name: given.c[name] for name in _REPORT}
    finished = (
        update(_messages)
        .where(_m.id == given.c.id, _m.lease_token == given.c.token)
        .values(state=given.c.state, settled_at=now(), **NO_LEASE, **report)
        .returning(_m.id)
        .cte("finished")
    )
    ended = (
        update(_attempts)
        .where(_a.message_id == finished.c.id, given.c.id == finished.c.id, _a.ended_at.is_(None))
        .values(outcome=given.c.outcome, ended_at=now(), **report)
        .cte("ended")
    )
    return select(finished.c.id).add_cte(ended)


_FINISH_ALL = _finish_all()


def new_lease() -> dict[str, Any]:
    """The columns of a lease that begins now: should its holder die, the row is due again when it ends."""
    return {"lease_until": now(plus=LEASE_SECONDS), "next_at": now(plus=LEASE_SECONDS)}


def _handed_off(held: ColumnElement[bool]) -> Update:
    begun = {"handoff_at": now(), "attempts": _m.attempts + 1, "provider": bindparam("with_provider")}
    return update(_messages).where(held).values(**begun, **new_lease()).returning(_m.id)


def _begun(ids: Any) -> Insert:
    # n is not `attempts`: an attempt that was released is on record, but was not spent.
    latest = select(func.max(_a.n)).where(_a.message_id == ids.c.id).scalar_subquery()
    provider = bindparam("with_provider", type_=String)
    rows = select(ids.c.id, func.coalesce(latest, 0) + 1, now(), now(), provider)
    return insert(_attempts).from_select(["message_id", "n", "started_at", "handoff_at", "provider"], rows)


def _hand_off_all() -> ReturningInsert[Any]:
    """Build the statement that hands a batch of any size off, in both tables (PostgreSQL)."""
    given = and_(
        _m.id == any_(bindparam("ids", type_=ARRAY(Uuid()))),
        _m.lease_token == any_(bindparam("tokens", type_=ARRAY(Uuid()))),
    )
    return _begun(_handed_off(given).cte("held")).returning(_a.message_id)


_HAND_OFF_ALL = _hand_off_all()


def hand_off(messages: Sequence[ClaimedMessage], *, provider: str) -> list[ClaimedMessage]:
    """Begin an attempt of each: from the commit on, the provider may have it. Return those that are still ours.

    Their leases begin anew.
    """
    if backend() == "postgresql":
        given = {"ids": [one.id for one in messages], "tokens": list({one.lease_token for one in messages})}
        held = set(db.session.execute(_HAND_OFF_ALL, {**given, "with_provider": provider}).scalars())
    else:
        held = set(db.session.execute(_handed_off(still_held(messages)), {"with_provider": provider}).scalars())
        db.session.execute(_begun(select(_m.id).where(_m.id.in_(held)).subquery()), {"with_provider": provider})
    return [replace(message, attempts=message.attempts + 1) for message in messages if message.id in held]


def settle(results: Sequence[Result]) -> set[UUID]:
    """Write down what came of messages; return the ids of those that are no longer ours, which are left alone."""
    states = _finish([result for result in results if result.message.after(result.outcome)[1] is None])
    states |= _try_again([result for result in results if result.message.after(result.outcome)[1] is not None])
    for result in results:
        if result.message.id in states:
            _log(result)
            if result.outcome is not Outcome.DEFERRED:
                publish(fact(result.message, states[result.message.id], error_class=result.error_class))
    return {result.message.id for result in results} - states.keys()


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


def _finish(results: Sequence[Result]) -> dict[UUID, MessageState]:
    """Settle for good; return the states of those that were still ours."""
    if not results:
        return {}
    states = {result.message.id: result.message.after(result.outcome)[0] for result in results}
    if backend() == "postgresql":
        held: Collection[UUID] = db.session.execute(_FINISH_ALL, _arrays(results)).scalars().all()
    else:
        held = _lock([result.message for result in results])
        ours = [result for result in results if result.message.id in held]
        if ours:
            db.session.connection().execute(_FINISH, [_final(result) for result in ours])
            db.session.connection().execute(_END, [_end(result) for result in ours])
    return {identity: states[identity] for identity in held}


def _arrays(results: Sequence[Result]) -> dict[str, list[Any]]:
    return {
        "ids": [result.message.id for result in results],
        "tokens": [result.message.lease_token for result in results],
        "states": [result.message.after(result.outcome)[0] for result in results],
        "outcomes": [result.outcome for result in results],
        **{f"{name}s": [getattr(result, name) for result in results] for name in _REPORT},
    }


def _lock(messages: Sequence[ClaimedMessage]) -> set[UUID]:
    return set(db.session.execute(select(_m.id).where(still_held(messages)).with_for_update()).scalars())


def _final(result: Result) -> dict[str, Any]:
    state, _ = result.message.after(result.outcome)
    return {"message": result.message.id, "new_state": state, **_report(result)}


def _end(result: Result) -> dict[str, Any]:
    return {"message": result.message.id, "new_outcome": result.outcome, **_report(result)}


def _report(result: Result) -> dict[str, str | None]:
    return {name: getattr(result, name) for name in _REPORT}


def _try_again(results: Sequence[Result]) -> dict[UUID, MessageState]:
    """Put messages back for their next attempts; return the states of those that were still ours."""
    held = _lock([result.message for result in results]) if results else set()
    ours = [result for result in results if result.message.id in held]
    states = {result.message.id: _later(result) for result in ours}
    if ours:
        db.session.connection().execute(_END, [_end(result) for result in ours])
    return states


def _later(result: Result) -> MessageState:
    """Put a message back; what would be too late at its next attempt is dead now."""
    _, base = result.message.after(result.outcome)
    due = result.until or now(plus=_wait(base or 0, retry_after=result.retry_after_seconds))
    too_late = _m.expires_at <= due if result.until is None else false()
    statement = (
        update(_messages)
        .where(_m.id == result.message.id)
        .values(
            state=case((too_late, MessageState.DEAD), else_=MessageState.PENDING),
            settled_at=case((too_late, now()), else_=null()),
            next_at=due,
            **_new_expiry(result),
            **NO_LEASE,
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
    """Give messages back unsent; an attempt that was begun is recorded as released and not counted.

    One that would not live to the end of the wait is looked at again after a breaker's pause.
    """
    if not messages:
        return
    end = until or now(plus=min(wait_seconds, RETRY_AFTER_MAX_SECONDS))
    soon = now(plus=min(wait_seconds, BREAKER_SECONDS))
    begun = case((_m.handoff_at.is_(None), 0), else_=1)
    statement = (
        update(_messages)
        .where(still_held(messages))
        .values(
            state=MessageState.PENDING,
            next_at=case((_m.expires_at <= end, soon), else_=end),
            attempts=_m.attempts - begun,
            **NO_LEASE,
        )
        .returning(_m.id)
    )
    end_attempts(db.session.execute(statement).scalars().all(), Outcome.RELEASED)


def end_attempts(ids: Sequence[UUID], outcome: Outcome) -> None:
    """Close the open attempts of messages that nobody sent or will ever report about."""
    if ids:
        open_ones = update(_attempts).where(_a.message_id.in_(ids), _a.ended_at.is_(None))
        db.session.execute(open_ones.values(ended_at=now(), outcome=outcome))
