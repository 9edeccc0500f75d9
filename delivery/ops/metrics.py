"""/metrics: what Prometheus asks for; docs/metrics.md has each metric, and the alerts are in deploy/monitoring/."""

import hmac
from ipaddress import ip_address

from flask import Response, current_app, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from delivery.errors import Forbidden, Unauthorized
from delivery.ops.collectors import COLLECTORS
from delivery.web import Blueprint, public

# Whoever comes through a proxy comes from elsewhere, although the proxy is here.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_TEXT = {"type": "string", "maxLength": 10_000_000, "pattern": "^(#|$)"}
blp = Blueprint("metrics", __name__, description="For machines that watch.")


@blp.route("/metrics")
@public
@blp.errors(401, 403)
@blp.response(200, _TEXT, content_type="text/plain", description="Prometheus's text format")
def metrics() -> Response:
    """Read the metrics in Prometheus's text format; for whoever runs this.

    From this machine alone, or with METRICS_TOKEN as a bearer token.
    """
    _admit()
    registry = CollectorRegistry(auto_describe=False)
    for collector in COLLECTORS:
        registry.register(collector)
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
