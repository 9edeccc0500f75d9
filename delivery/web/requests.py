"""What happens around every request: its id, its log line, its headers."""

import logging
import re
import time

from flask import Flask, Request, Response, g, request
from flask.sessions import SessionInterface

from delivery import logs
from delivery.database import new_id

log = logging.getLogger("delivery.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,64}")
# What leads to no route has one name.
UNMATCHED = "-"
_QUIET = frozenset({"/healthz", "/readyz"})


class _NoSessions(SessionInterface):
    """We set no cookies; Flask would make a signer for each request to look for one."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


def init_app(app: Flask) -> None:
    """Number and log every request."""
    app.session_interface = _NoSessions()
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_unbind)


def route_of(asked: Request) -> str:
    """Return a request's route, with the names of its parts in the place of ids and tokens: for logs and the like."""
    return asked.url_rule.rule if asked.url_rule else UNMATCHED


def _begin() -> None:
    g.started = time.monotonic()
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else new_id().hex
    binding = logs.bound(request_id=g.request_id)
    binding.__enter__()
    # A stack: a request that is made while another is answered, in the same app context, shares its g.
    g.setdefault("log_bindings", []).append(binding)


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    rule = route_of(request)
    if rule not in _QUIET:
        caller = g.get("caller")
        log.info(
            "request",
            extra={
                "method": request.method,
                "path": rule,
                "status": response.status_code,
                "duration_ms": round(1000 * (time.monotonic() - g.started), 1),
                "user_id": str(caller.id) if caller else None,
                "key_id": str(caller.key_id) if caller and caller.key_id else None,
            },
        )
    return response


def _unbind(_error: BaseException | None) -> None:
    bindings = g.get("log_bindings")
    if bindings:
        bindings.pop().__exit__(None, None, None)
