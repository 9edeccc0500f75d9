"""Breakers: ten failures in a row at a provider or an endpoint pause it for a minute, and no attempt is spent on it.

When the minute is over, one message is tried; should that fail, another minute begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, bindparam, case, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from delivery.database import backend, db, now, reader, upsert
from delivery.notifications.held import ClaimedMessage, Result
from delivery.notifications.models import Breaker, OutboxMessage
from delivery.notifications.states import (
    BREAKER_FAILURES,
    BREAKER_SECONDS,
    ENDPOINT_CONCURRENCY,
    Channel,
    MessageState,
    Outcome,
)

_breakers, _messages = Breaker.__table__, OutboxMessage.__table__
_b, _m = _breakers.c, _messages.c
# A literal: with a bound value neither database could use its partial index.
_IS_WEBHOOK = _m.channel == literal_column("'webhook'")

# What says that the other side does not work. A refusal for good says that it does.
FAILURES = frozenset({Outcome.TEMPORARY, Outcome.UNCERTAIN})
WORKING = frozenset({Outcome.SENT, Outcome.PERMANENT})


def key_of_provider(channel: str, provider: str) -> str:
    return f"{channel}:{provider}"


def key_of(message: ClaimedMessage, *, provider: str) -> str:
    """Return whose breaker a message's attempts count for: its endpoint's, or its provider's."""
    return key_of_provider(message.channel, str(message.recipient_id) if _to_endpoint(message) else provider)


def _to_endpoint(message: ClaimedMessage) -> bool:
    return message.channel == Channel.WEBHOOK


_STANDS = select(_b.failures, (_b.paused_until > now()).label("paused")).where(_b.key == bindparam("of"))


def most_at_once(key: str, *, limit: int) -> int:
    """Return how many messages a provider may be given now: none while it is paused, one after that, else `limit`."""
    row = reader().execute(_STANDS, {"of": key}).first()
    if row is None or row.failures < BREAKER_FAILURES:
        return limit
    return 0 if row.paused else 1


# Of all providers, and of those endpoints that are asked about: of endpoints there may be many.
_RESTING = select(_b.key).where(
    or_(_b.key.not_like(f"{Channel.WEBHOOK}:%"), _b.key.in_(bindparam("endpoints", expanding=True))),
    _b.paused_until > now(),
)


def held_up(rows: Iterable[Any]) -> set[UUID]:
    """Return the ids of those rows of the outbox that nobody tries now because the other side is paused."""
    waiting = {row.id: _whose(row) for row in rows if row.state == MessageState.PENDING}
    if not waiting:
        return set()
    resting = reader().execute(_RESTING, {"endpoints": sorted(set(waiting.values()))}).scalars()
    paused = {key if key.startswith(Channel.WEBHOOK) else key.partition(":")[0] for key in resting}
    return {identity for identity, whose in waiting.items() if whose in paused}


def _whose(row: Any) -> str:
    """Return an endpoint's key, or the channel: a provider is known when it is tried."""
    return key_of_provider(row.channel, str(row.recipient_id)) if row.channel == Channel.WEBHOOK else row.channel


def count(results: Iterable[Result], *, provider: str) -> set[str]:
    """Count what came of attempts, in the caller's transaction; return the keys of breakers that this opened.

    What waits for an endpoint whose breaker opens is put off.
    """
    streaks: dict[str, tuple[bool, int]] = {}
    for result in results:
        if result.outcome in FAILURES | WORKING:
            key = key_of(result.message, provider=provider)
            worked, failures = streaks.get(key, (False, 0))
            failed = result.outcome in FAILURES and not result.of_recipient
            streaks[key] = (worked, failures + 1) if failed else (True, 0)
    opened, failing = set(), _failing([key for key, (worked, _) in streaks.items() if worked])
    # In one order, so that two workers do not wait for each other.
    for key, (worked, failures) in sorted(streaks.items()):
        if worked and key in failing:
            _close(key)
        if failures and _add(key, failures) >= BREAKER_FAILURES:
            _put_off(key)
            opened.add(key)
    return opened


_FAILING = select(_b.key).where(_b.key.in_(bindparam("keys", expanding=True)), _b.failures > 0)
_CLOSE = (
    update(_breakers)
    .where(_b.key == bindparam("of"), _b.failures > 0)
    .values(failures=0, paused_until=None, changed_at=now())
)


def _failing(keys: Sequence[str]) -> set[str]:
    """Return those that failed last; next to always there is none."""
    return set(db.session.execute(_FAILING, {"keys": keys}).scalars()) if keys else set()


def _close(key: str) -> None:
    db.session.execute(_CLOSE, {"of": key})


def _add(key: str, failures: int) -> int:
    """Add failures; return how many there are in a row."""
    total = _b.failures + failures
    pause = case((total >= BREAKER_FAILURES, now(plus=BREAKER_SECONDS)), else_=_b.paused_until)
    statement = (
        upsert(_breakers)
        .values(key=key, failures=failures, paused_until=_pause(failures), changed_at=now())
        .on_conflict_do_update(
            index_elements=[_b.key], set_={"failures": total, "paused_until": pause, "changed_at": now()}
        )
        .returning(_b.failures)
    )
    row: int = db.session.execute(statement).scalar_one()
    return row


def _pause(failures: int) -> now | None:
    return now(plus=BREAKER_SECONDS) if failures >= BREAKER_FAILURES else None


def _put_off(key: str) -> None:
    """Have what waits for a paused endpoint wait on; a provider's channel is not claimed from at all meanwhile."""
    channel, _, endpoint = key.partition(":")
    if channel == Channel.WEBHOOK:
        waiting = update(_messages).where(
            _IS_WEBHOOK,
            _m.recipient_id == UUID(endpoint),
            _m.state == literal_column("'pending'"),
            _m.next_at < now(plus=BREAKER_SECONDS),
        )
        db.session.execute(waiting.values(next_at=now(plus=BREAKER_SECONDS)))


def admit(messages: Sequence[ClaimedMessage]) -> tuple[list[ClaimedMessage], dict[Any, datetime]]:
    """Choose of messages to endpoints those that may go now; in the transaction that hands them off.

    To one endpoint no more than ENDPOINT_CONCURRENCY are under way, from whichever worker. Returns them, and of the
    others those whose endpoint is paused, by id, with the end of the pause.
    """
    keys = sorted({key_of(message, provider="") for message in messages})
    _take_turns(keys)
    paused = _pauses(keys)
    under_way = _under_way(messages)
    admitted, put_off = [], {}
    for message in messages:
        key = key_of(message, provider="")
        if key in paused:
            put_off[message.id] = paused[key]
        elif under_way.get(message.recipient_id, 0) < ENDPOINT_CONCURRENCY:
            under_way[message.recipient_id] = under_way.get(message.recipient_id, 0) + 1
            admitted.append(message)
    return admitted, put_off


def _take_turns(keys: Sequence[str]) -> None:
    """Let two workers not count the same endpoint at once; SQLite's transactions take turns anyway."""
    if backend() == "postgresql":
        key = func.unnest(bindparam("keys", type_=ARRAY(Text))).column_valued("key")
        locks = select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0)))
        db.session.execute(locks, {"keys": list(keys)})


_PAUSED = select(_b.key, _b.paused_until).where(_b.key.in_(bindparam("keys", expanding=True)), _b.paused_until > now())
_UNDER_WAY = (
    select(_m.recipient_id, func.count())
    .where(
        _IS_WEBHOOK,
        _m.recipient_id.in_(bindparam("endpoints", expanding=True)),
        _m.state == literal_column("'sending'"),
        _m.handoff_at.is_not(None),
        _m.next_at > now(),  # the lease's end, by which the index leads past all that waits
    )
    .group_by(_m.recipient_id)
)


def _pauses(keys: Sequence[str]) -> Mapping[str, datetime]:
    return dict(db.session.execute(_PAUSED, {"keys": list(keys)}).all())


def _under_way(messages: Sequence[ClaimedMessage]) -> dict[Any, int]:
    """Count what workers have in hand for these endpoints, by the index of open webhooks."""
    endpoints = {message.recipient_id for message in messages}
    return dict(db.session.execute(_UNDER_WAY, {"endpoints": list(endpoints)}).all())
