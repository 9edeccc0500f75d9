"""/metrics: what Prometheus asks for, read from the database and Redis at that moment.

So every process answers the same, however many there are, and none has to count. It costs six short statements, none of
which reads what was settled long ago. docs/metrics.md has each metric, and the alert that it is for.
"""

import hmac
import platform
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from flask import Response, current_app, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from delivery.database import backend
from delivery.errors import Forbidden, Unauthorized
from delivery.notifications import heartbeat, stats
from delivery.ops.openapi import version
from delivery.web import Blueprint, public

RECENT_SECONDS = 300
# Whoever comes through a proxy comes from elsewhere, although the proxy is here.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
blp = Blueprint("metrics", __name__, description="For machines that watch.")


@blp.route("/metrics")
@public
@blp.errors(401, 403)
@blp.doc(responses={"200": {"description": "Prometheus's text format", "content": {"text/plain": {}}}})
def metrics() -> Response:
    """Read the metrics in Prometheus's text format; for whoever runs this."""
    _admit()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Outbox())
    answer = Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _admit() -> None:
    token = current_app.config["METRICS_TOKEN"]
    if not token:
        if not _is_of_this_machine():
            raise Forbidden("Ask from this machine, or set METRICS_TOKEN.")
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Unauthorized("Send METRICS_TOKEN as a bearer token.")


def _is_of_this_machine() -> bool:
    """Whether nobody between has passed the request on. gunicorn names no address for a Unix socket: a proxy's."""
    try:
        local = ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False
    return local and not any(name in request.headers for name in _FORWARDED)


class _Outbox(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from _messages()
        recent = stats.outcomes(of_last_seconds=RECENT_SECONDS)
        about = f"Attempts that were begun within {RECENT_SECONDS} seconds."
        yield _gauge("outbox_recent_attempts", about, ("channel", "outcome"), recent)
        yield from _breakers()
        yield from _sweep()
        build = {"version": version(), "python": platform.python_version(), "database": backend()}
        yield InfoMetricFamily("delivery_build", "What runs here.", value=build)


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


def _breakers() -> Iterator[Metric]:
    found = stats.breakers()
    paused = {(row.key,): int(bool(row.open)) for row in found}
    yield _gauge("breaker_open", "1 while a provider or endpoint is paused.", ("key",), paused)
    failures = {(row.key,): row.failures for row in found}
    yield _gauge("breaker_failures", "Its failures in a row.", ("key",), failures)


def _sweep() -> Iterator[Metric]:
    """Tell how old the sweep's sign of life is: infinitely where there is none, nothing where Redis is down."""
    try:
        age = heartbeat.age_seconds()
    except RedisError:
        yield GaugeMetricFamily("delivery_redis_up", "Whether Redis answers.", value=0)
        return
    yield GaugeMetricFamily("delivery_redis_up", "Whether Redis answers.", value=1)
    seconds = float("inf") if age is None else age
    yield GaugeMetricFamily("delivery_sweep_heartbeat_age_seconds", "Since the last sweep began.", value=seconds)


def _gauge(name: str, about: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> Metric:
    gauge = GaugeMetricFamily(f"delivery_{name}", about, labels=labels)
    for of, value in values.items():
        gauge.add_metric(of, value)
    return gauge
