"""Background jobs: the queues, the Redis clients, the decorator that gives a job its app, and how a process stops."""

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from flask import Flask, current_app, has_app_context
from flask.cli import ScriptInfo
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from rq import Queue, get_current_job
from rq.serializers import JSONSerializer

from delivery import logs
from delivery.sentinel import client_of
from delivery.spans import span

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_KEY = "delivery.redis"
BREAKER_SECONDS = 10
# Nobody waits for the outcome of a job; a failed one is kept for a day, so that `rq info` shows it.
RESULT_TTL, FAILURE_TTL_SECONDS = 0, 86_400
# A job that no worker took is forgotten: the sweep has queued a newer one long since.
QUEUED_TTL_SECONDS = 300
# Time-outs are the channel's. RQ's own would be an exception out of nowhere, perhaps in the middle of a send.
NO_TIMEOUT = -1


@dataclass
class _Web:
    client: "Redis"
    closed_until: float = 0.0  # by the monotonic clock


def redis_for_web() -> Redis:
    """Return the app's client for requests and sweeps: it gives up at once and never tries again."""
    return _web().client


def _web() -> _Web:
    extensions = current_app.extensions
    if _KEY not in extensions:
        extensions.setdefault(_KEY, _Web(_impatient(current_app.config["REDIS_URL"])))
    web: _Web = extensions[_KEY]
    return web


def _impatient(url: str) -> Redis:
    return client_of(url, socket_connect_timeout=0.2, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))


@contextmanager
def brief_redis() -> Iterator[Redis]:
    """Lend the client for requests; once it has failed nobody waits for it again for ten seconds.

    Raises:
        RedisError: Redis is down, or was a moment ago.
    """
    web = _web()
    if time.monotonic() < web.closed_until:
        raise RedisConnectionError("Redis failed a moment ago")
    try:
        yield web.client
    except RedisError:
        web.closed_until = time.monotonic() + BREAKER_SECONDS
        raise


def redis_for_worker() -> Redis:
    """Return a new client that outlives an outage of Redis, or a fail-over, of a minute or two."""
    return client_of(
        current_app.config["REDIS_URL"],
        socket_connect_timeout=3,
        retry=Retry(ExponentialWithJitterBackoff(base=0.2, cap=3), 40),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )


def queue(name: str, *, redis: Redis) -> Queue:
    """Return a queue whose jobs are JSON: with RQ's default, pickle, to read a job is to run code.

    JSON alone is not enough, since a job names what to call: `flask worker` calls a drain and nothing else.
    """
    return Queue(name, connection=redis, serializer=JSONSerializer)


def enqueue(name: str, function: str, *args: str, redis: Redis) -> None:
    """Queue a call of `function`, a dotted path; `args` are ids and names, never a person's data."""
    queue(name, redis=redis).enqueue(
        function,
        *args,
        job_timeout=NO_TIMEOUT,
        ttl=QUEUED_TTL_SECONDS,
        result_ttl=RESULT_TTL,
        failure_ttl=FAILURE_TTL_SECONDS,
    )


class JobFailed(Exception):
    """A job has failed, and why stands in the log: RQ keeps this error's text in Redis, where nobody's name may get."""


def job(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function in an app context of its own: what it opened is closed at its end, as after a request.

    Outside any app, under `rq worker`, it imports FLASK_APP (default wsgi:app).
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        current = get_current_job()
        with _app().app_context(), logs.bound(job_id=current.id if current else None), span(function.__name__):
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if current is None:
                    raise
                logger.exception("job failed")
                raise JobFailed(type(error).__name__) from None

    return run


def _app() -> Flask:
    if has_app_context():
        return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  Flask's documented way
    return _imported_app()


@functools.cache
def _imported_app() -> Flask:
    return ScriptInfo(app_import_path=os.environ.get("FLASK_APP", "wsgi:app")).load_app()


class _Stop:
    # A plain flag: setting an Event in a signal handler may deadlock with the wait that the signal interrupted.
    requested = False


def request_stop(*_: object) -> None:
    """Ask this process to come to its end; made to be a signal handler."""
    _Stop.requested = True


def stopping() -> bool:
    """Tell whether this process was asked to end."""
    return _Stop.requested


def pause(seconds: float) -> None:
    """Sleep, but not on when the process is asked to end."""
    end = time.monotonic() + seconds
    while not stopping() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
