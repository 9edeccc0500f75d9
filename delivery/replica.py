"""A read replica of PostgreSQL, for lists that may be a little late: never wrong, and never in anybody's way.

What is read there is what nothing is decided by: pages of lists, and what anybody may see. Who asks, and what they may
see, is read from the primary. The primary answers as well whenever the replica is down or too late, and for whoever
has just changed something: they read what they wrote.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

import psycopg
from flask import Flask, Response, current_app, g, has_request_context, request
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, Executable, Row, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from delivery import jobs
from delivery.database import in_transaction, reader, reading_engine

T = TypeVar("T")
logger = logging.getLogger(__name__)

_KEY = "delivery.replica"
LOOK_SECONDS = 1.0
# After a failure nobody tries for so long: to connect to a host that says nothing takes seconds.
PAUSE_SECONDS = 10.0
# Positions in the write-ahead log, in bytes. Whatever was answered to anybody by then stands before the first.
_WRITTEN = text("SELECT pg_current_wal_insert_lsn() - '0/0'")
# A replica that was promoted goes its own way, and must not be read.
_REPLAYED = text("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0' END")


@dataclass
class Replica:
    """The replica as this process knows it; all times are by the monotonic clock."""

    engine: Engine
    max_lag_seconds: int
    # Where the primary was, and when: the replica is as late as the newest of these that it has reached is old.
    written: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=600))
    current_at: float = float("-inf")
    looked_at: float = float("-inf")
    paused_until: float = 0.0
    used: bool | None = None
    lock: Lock = field(default_factory=Lock)

    def usable(self) -> bool:
        """Tell whether it may be read now. One of those who ask looks after it; while that hangs it is not read."""
        now = time.monotonic()
        if now - self.looked_at >= LOOK_SECONDS and now >= self.paused_until and self.lock.acquire(blocking=False):
            try:
                self.look()
            finally:
                self.lock.release()
        fresh = time.monotonic() - self.looked_at < 3 * LOOK_SECONDS
        self.say(used=fresh and self.lag_seconds() <= self.max_lag_seconds, why="late or not looked at")
        return bool(self.used)

    def lag_seconds(self) -> float:
        """Return for how long, at the most, it has lacked something; infinite when that is not known."""
        return time.monotonic() - self.current_at

    def look(self) -> None:
        """Find out how late it is: of the primary, too, so that one that is cut off does not look idle."""
        at = time.monotonic()
        written = reader().execute(_WRITTEN).scalar_one()
        self.written.append((at, int(written)))
        try:
            with self.engine.connect() as connection:
                replayed = connection.execute(_REPLAYED).scalar_one()
        except SQLAlchemyError as error:
            self.fail(error)
            return
        reached = [at for at, written in self.written if replayed is not None and written <= replayed]
        self.current_at = max(reached, default=float("-inf"))
        self.looked_at = at

    def fail(self, error: SQLAlchemyError) -> None:
        """Leave it alone for a while."""
        self.paused_until, self.looked_at = time.monotonic() + PAUSE_SECONDS, float("-inf")
        self.say(used=False, why=type(error).__name__)

    def say(self, *, used: bool, why: str) -> None:
        """Say once that it is left or read again."""
        if used == self.used:
            return
        self.used = used
        if used:
            logger.info("the replica is read")
        else:
            logger.warning("the replica is not read, the primary is", extra={"reason": why})


def init_app(app: Flask) -> None:
    """Give the app its replica where DATABASE_REPLICA_URL names one."""
    engine = reading_engine(app, app.config["DATABASE_REPLICA_URL"])
    if engine is None:
        return
    app.extensions[_KEY] = Replica(engine, app.config["DB_REPLICA_MAX_LAG_SECONDS"])
    app.after_request(_remember)


def replica() -> Replica | None:
    """Return this app's replica, if it has one."""
    found: Replica | None = current_app.extensions.get(_KEY)
    return found


def rows(query: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
    """Return the rows of a list that may be a little late."""
    return read(lambda connection: connection.execute(query, values or {}).all())


def read(work: Callable[[Connection], T]) -> T:
    """Return what `work` reads: on the replica, or whole on the primary when that fails."""
    there = replica()
    if there is None or not _may_be_late() or not there.usable():
        return work(reader())
    try:
        with there.engine.connect() as connection:
            return work(connection)
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled):  # it took too long, and would again
            raise
        there.fail(error)
    except SQLAlchemyError as error:  # no connection was free
        there.fail(error)
    return work(reader())


def _may_be_late() -> bool:
    if not has_request_context() or request.method not in {"GET", "HEAD"} or in_transaction():
        return False
    return not _has_just_written()


def _has_just_written() -> bool:
    """Tell whether the caller changed something that the replica may lack; yes where nobody knows."""
    caller = g.get("caller")
    if caller is None or caller.id is None:
        return False
    try:
        with jobs.brief_redis() as redis:
            return bool(redis.exists(_key_of(caller)))
    except RedisError:
        return True


def _remember(response: Response) -> Response:
    """Remember who changed something, for as long as the replica may lack it."""
    caller = g.get("caller")
    there = replica()
    if there is None or caller is None or caller.id is None or request.method in {"GET", "HEAD", "OPTIONS"}:
        return response
    try:
        with jobs.brief_redis() as redis:
            redis.set(_key_of(caller), 1, ex=there.max_lag_seconds + int(4 * LOOK_SECONDS))
    except RedisError as error:
        logger.warning("not remembered who wrote: Redis is down", extra={"error_class": type(error).__name__})
    return response


def _key_of(caller: Any) -> str:
    return f"delivery:wrote:{caller.id}"
