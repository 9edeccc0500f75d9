"""Counts of the outbox, for people on call and for their machines.

None reads what was settled long ago: what is open, given up, or young has an index or a range of ids, and so each costs
by how much of that there is. The given-up are few, and retention keeps them so.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Float, Row, Select, case, func, literal, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from delivery import clock
from delivery.database import now, oldest_id, reader
from delivery.notifications.claims import claimable
from delivery.notifications.models import Breaker, OutboxAttempt, OutboxMessage
from delivery.notifications.queries import CLOCKS_APART_SECONDS
from delivery.notifications.states import OPEN, RESENDABLE, Channel, Outcome

_m, _a, _b = OutboxMessage.__table__.c, OutboxAttempt.__table__.c, Breaker.__table__.c
DAY_SECONDS = 86_400
ByState = dict[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The open messages of a channel in one state: how many, and how many of them could be sent now."""

    channel: str
    state: str
    count: int
    due: int


@dataclass(frozen=True, slots=True)
class Tried:
    """The attempts of a channel with one outcome, and of those that a provider answered how long it took."""

    channel: str
    outcome: str
    provider: str
    count: int
    seconds: float
    within: tuple[int, ...]


# Of an attempt, up to its outcome's being on record: what a provider takes, and at most a moment in the batch.
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
# A provider said something; the others say how long a worker was dead or nobody asked.
ANSWERED = frozenset({Outcome.SENT, Outcome.TEMPORARY, Outcome.PERMANENT})


class _seconds(FunctionElement[float]):  # noqa: N801  # reads as the SQL function that it is
    """The seconds from one time to another."""

    type = Float()
    inherit_cache = True


@compiles(_seconds, "postgresql")
def _postgresql_seconds(element: _seconds, compiler: SQLCompiler, **options: Any) -> str:
    begun, ended = (compiler.process(one, **options) for one in element.clauses)
    return f"extract(epoch FROM {ended} - {begun})::double precision"


@compiles(_seconds, "sqlite")
def _sqlite_seconds(element: _seconds, compiler: SQLCompiler, **options: Any) -> str:
    begun, ended = (compiler.process(one, **options) for one in element.clauses)
    return f"((julianday({ended}) - julianday({begun})) * 86400.0)"


# Literals: with bound values neither database could use its partial index.
_OPEN = _m.state.in_([literal_column(f"'{state}'") for state in sorted(OPEN)])
_WAITING = (
    select(_m.channel, _m.state, func.count(), func.sum(case((_m.next_at <= now(), 1), else_=0)))
    .where(_OPEN)
    .group_by(_m.channel, _m.state)
    .order_by(_m.channel, _m.state)
)
_OLDEST = select(
    now().label("at"),
    *(
        select(_m.next_at)
        .where(*claimable(literal(str(channel))))
        .order_by(_m.next_at)
        .limit(1)
        .scalar_subquery()
        .label(channel)
        for channel in Channel
    ),
)
_BY_STATE = select(_m.channel, _m.state, func.count()).group_by(_m.channel, _m.state).order_by(_m.channel, _m.state)
_GIVEN_UP = _BY_STATE.where(_m.state.in_(sorted(RESENDABLE)))
_TOOK = _seconds(_a.handoff_at, _a.ended_at)
_TRIED = (
    select(
        _m.channel,
        func.coalesce(_a.outcome, literal_column("'open'")),
        func.coalesce(_a.provider, literal_column("''")),
        func.count(),
        func.coalesce(func.sum(_TOOK), 0.0),
        *(func.sum(case((literal_column(str(bound)) >= _TOOK, 1), else_=0)) for bound in BOUNDS),
    )
    .join_from(OutboxAttempt.__table__, OutboxMessage.__table__, _m.id == _a.message_id)
    .group_by(_m.channel, _a.outcome, _a.provider)
    .order_by(_m.channel, _a.outcome, _a.provider)
)
_BREAKERS: Select[Any] = select(*_b, (_b.paused_until > now()).label("open")).order_by(_b.key)


def waiting() -> list[Waiting]:
    """Return how many messages are open, by channel and state."""
    return [Waiting(*row) for row in reader().execute(_WAITING)]


def overdue_seconds() -> dict[str, float]:
    """Return for how long the oldest message of each channel could have been sent; 0 where nothing could.

    What waits for its next attempt is not late, nor what waits behind another in its lane.
    """
    row = reader().execute(_OLDEST).one()
    return {str(channel): _between(getattr(row, channel), row.at) for channel in Channel}


def _between(oldest: datetime | None, at: datetime) -> float:
    return 0.0 if oldest is None else (at - oldest).total_seconds()


def given_up() -> ByState:
    """Return how many messages failed, are dead or are uncertain, by channel and state; all that are still kept."""
    return {(channel, state): count for channel, state, count in reader().execute(_GIVEN_UP)}


def of_last_day() -> ByState:
    """Return how many messages were written within 24 hours, by channel and the state that they are in now."""
    since = now(plus=-DAY_SECONDS)
    bound = oldest_id(clock.now() - clock.offset, minus_seconds=DAY_SECONDS + CLOCKS_APART_SECONDS)
    rows = reader().execute(_BY_STATE.where(_m.created_at >= since, _m.id >= bound))
    return {(channel, state): count for channel, state, count in rows}


def outcomes(*, of_last_seconds: float) -> ByState:
    """Return how many attempts were begun lately, by channel and outcome; `open` are those that still run."""
    return by_outcome(tried(of_last_seconds=of_last_seconds))


def by_outcome(found: Iterable[Tried]) -> ByState:
    """Count attempts by channel and outcome, whoever the provider was."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in found:
        counts[one.channel, one.outcome] += one.count
    return counts


def tried(*, of_last_seconds: float) -> list[Tried]:
    """Return the attempts that were begun lately, by channel, outcome and provider; `open` are those that still run."""
    rows = reader().execute(_TRIED.where(_a.started_at >= now(plus=-of_last_seconds)))
    return [
        Tried(channel, outcome, provider, count, seconds, tuple(within))
        for channel, outcome, provider, count, seconds, *within in rows
    ]


def breakers() -> Sequence[Row[Any]]:
    """Return the breakers that have counted a failure: key, failures, paused_until, open."""
    return reader().execute(_BREAKERS).all()
