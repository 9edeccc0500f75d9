"""The metrics, by where they are read.

What the database and Redis know is read at that moment: every process and host answers the same, and none counts. It
costs a few short statements, none of which reads what was settled long ago. What only the web processes of one server
know is read from their tallies.
"""

import platform
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from flask import Flask, current_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from delivery import replica
from delivery.database import backend, engines
from delivery.imports.queries import unfinished
from delivery.notifications import heartbeat, holding, stats
from delivery.notifications.stats import ANSWERED, Tried
from delivery.ops import queues, tallies
from delivery.ops.openapi import version

RECENT_SECONDS = 300


class Outbox(Collector):
    """What waits, what is late, what was given up, and how the attempts of late went."""

    def collect(self) -> Iterator[Metric]:
        yield from _messages()
        yield from _attempts(stats.tried(of_last_seconds=RECENT_SECONDS))
        yield from _breakers()
        held = int(holding.standing() is not None)
        yield GaugeMetricFamily("delivery_outbox_held", "1 while somebody holds all messages back.", value=held)


def _messages() -> Iterator[Metric]:
    waiting, overdue = stats.waiting(), stats.overdue_seconds()
    counts = {(one.channel, one.state): one.count for one in waiting} | stats.given_up()
    yield _gauge("outbox_messages", "Messages that are open or were given up.", ("channel", "state"), counts)
    due = dict.fromkeys(overdue, 0)
    for one in waiting:
        due[one.channel] += one.due
    yield _gauge("outbox_due", "Messages whose time has come.", ("channel",), {(name,): due[name] for name in due})
    about = "For how long the oldest message that can be sent has waited for it."
    yield _gauge("outbox_oldest_pending_seconds", about, ("channel",), {(name,): overdue[name] for name in overdue})


def _attempts(tried: list[Tried]) -> Iterator[Metric]:
    about = f"Attempts that were begun within {RECENT_SECONDS} seconds."
    yield _gauge("outbox_recent_attempts", about, ("channel", "outcome"), stats.by_outcome(tried))
    about = "Of those that a provider answered: seconds from the hand-off to the outcome."
    labels = ("channel", "provider")
    took = GaugeHistogramMetricFamily("delivery_outbox_recent_attempt_seconds", about, labels=labels)
    answered = sorted((one for one in tried if one.outcome in ANSWERED), key=_sender)
    for sender, ones in groupby(answered, key=_sender):
        took.add_metric(sender, *_spread(list(ones)))
    yield took


def _sender(one: Tried) -> tuple[str, str]:
    return one.channel, one.provider


def _spread(ones: list[Tried]) -> tuple[list[tuple[str, float]], float]:
    within = [float(sum(column)) for column in zip(*(one.within for one in ones), strict=True)]
    bounds = [*zip(map(str, stats.BOUNDS), within, strict=True), ("+Inf", float(sum(one.count for one in ones)))]
    return bounds, sum(one.seconds for one in ones)


def _breakers() -> Iterator[Metric]:
    found = stats.breakers()
    paused = {(row.key,): int(bool(row.open)) for row in found}
    yield _gauge("breaker_open", "1 while a provider or endpoint is paused.", ("key",), paused)
    failures = {(row.key,): row.failures for row in found}
    yield _gauge("breaker_failures", "Its failures in a row.", ("key",), failures)


class Imports(Collector):
    """Imports that have not ended."""

    def collect(self) -> Iterator[Metric]:
        counts, waited_seconds = unfinished()
        about = "Imports that have not ended."
        yield _gauge("imports", about, ("state",), {(state,): count for state, count in counts.items()})
        about = "For how long the first of those that nobody works on has waited."
        yield GaugeMetricFamily("delivery_imports_oldest_due_seconds", about, value=waited_seconds)


class Replica(Collector):
    """The replica, as this process sees it; nothing where there is none."""

    def collect(self) -> Iterator[Metric]:
        there = replica.replica()
        if there is None:
            return
        about = "Whether lists are read from the replica."
        yield GaugeMetricFamily("delivery_replica_up", about, value=int(there.usable()))
        late = "For how long the replica may have lacked something, at the most."
        yield GaugeMetricFamily("delivery_replica_lag_seconds", late, value=there.lag_seconds())


class Redis(Collector):
    """The sweep's sign of life, the queues and who works on them; nothing of that while Redis is down."""

    def collect(self) -> Iterator[Metric]:
        about = "Whether Redis answers."
        try:
            found = [_sweep(), *_queues()]
        except RedisError:
            yield GaugeMetricFamily("delivery_redis_up", about, value=0)
            return
        yield GaugeMetricFamily("delivery_redis_up", about, value=1)
        yield from found


def _sweep() -> Metric:
    """Tell how old the sweep's sign of life is: infinitely where there is none."""
    age = heartbeat.age_seconds()
    seconds = float("inf") if age is None else age
    return GaugeMetricFamily("delivery_sweep_heartbeat_age_seconds", "Since the last sweep began.", value=seconds)


def _queues() -> Iterator[Metric]:
    found = queues.all_of_them()
    jobs = {(one.name,): one.jobs for one in found}
    yield _gauge("queue_jobs", "Jobs that wait for a worker.", ("queue",), jobs)
    ages = {(one.name,): one.oldest_seconds for one in found}
    yield _gauge("queue_oldest_job_seconds", "For how long the oldest of them has waited.", ("queue",), ages)
    failed = {(one.name,): one.failed for one in found}
    yield _gauge("queue_failed_jobs", "Jobs that failed within a day.", ("queue",), failed)
    # Nobody must not look like nothing: an alert compares with 0.
    none = dict.fromkeys(("idle", "busy"), 0)
    counts = {(one.name, state): count for one in found for state, count in (none | one.workers).items()}
    yield _gauge("workers", "Workers that have given a sign of life.", ("queue", "state"), counts)


class Web(Collector):
    """What the web processes of this server have answered and what they hold, and what runs here."""

    def collect(self) -> Iterator[Metric]:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's documented way
        yield from _answered(tallies.of(app))
        yield from _at_hand(tallies.of(app), app)
        build = {"version": version(), "python": platform.python_version(), "database": backend()}
        build["revision"] = app.config["GIT_REVISION"]
        yield InfoMetricFamily("delivery_build", "What runs here.", value=build)


def _answered(found: tallies.Tallies) -> Iterator[Metric]:
    about = "Requests that were answered."
    requests = CounterMetricFamily("delivery_http_requests", about, labels=("route", "method", "status"))
    about = "Seconds until the answer was ready to be sent."
    took = HistogramMetricFamily("delivery_http_request_duration_seconds", about, labels=("route", "method"))
    for one in found.answered():
        for status, count in one.statuses.items():
            requests.add_metric((one.route, one.method, status), count)
        took.add_metric((one.route, one.method), one.buckets, one.seconds)
    yield requests
    yield took


def _at_hand(found: tallies.Tallies, app: Flask) -> Iterator[Metric]:
    about = "Requests that are being answered."
    yield GaugeMetricFamily("delivery_http_requests_in_flight", about, value=found.in_flight())
    threads = app.config["WEB_WORKERS"] * app.config["WEB_THREADS"]
    yield GaugeMetricFamily("delivery_web_threads", "How many can be answered at a time.", value=threads)
    about = "Connections that one process may have, of those that it keeps and of those beyond."
    sizes: dict[tuple[str, str], float] = {}
    for name, engine in zip(tallies.POOLS, engines(app), strict=True):
        pool: Any = engine.pool  # SQLite's in memory has neither
        sizes[name, "kept"], sizes[name, "overflow"] = pool.size(), pool._max_overflow  # noqa: SLF001  # nothing public tells
    yield _gauge("db_pool_size", about, ("pool", "kind"), sizes)
    held = {(str(process), pool): count for process, pool, count in found.held()}
    yield _gauge("db_pool_checked_out", "Connections in use.", ("process", "pool"), held)


def _gauge(name: str, about: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    gauge = GaugeMetricFamily(f"delivery_{name}", about, labels=labels)
    for of, value in values.items():
        gauge.add_metric(of, value)
    return gauge


COLLECTORS = (Outbox(), Imports(), Replica(), Redis(), Web())
