"""Errors to Sentry, where SENTRY_DSN names a project: what went wrong and where, and nothing about people.

The client's integrations are off: they send addresses, headers, bodies, local variables and the texts of exceptions,
and would have to be washed. A report is made here of what may be told, and what the client adds to it is cut off again.
"""

import atexit
import logging
from traceback import walk_tb
from types import TracebackType
from typing import Any

from flask import Flask, has_request_context, request

from delivery import logs
from delivery.ops.openapi import version
from delivery.ops.tallies import known_method
from delivery.web.requests import route_of

# What may leave; all else that a client of whatever version puts into a report is dropped.
MAY_LEAVE = frozenset({
    "event_id", "timestamp", "platform", "level", "logger", "message", "transaction", "tags", "exception", "release",
    "environment", "sdk",
})  # fmt: skip
FLUSH_SECONDS = 2
MOST_CAUSES = 10


def init_app(app: Flask) -> None:
    """Report every logged error that has an exception; config_checks.py has seen to it that the package is there."""
    former = [one for one in logging.root.handlers if isinstance(one, _Reporter)]
    for handler in former:
        logging.root.removeHandler(handler)
    if not app.config["SENTRY_DSN"]:
        return
    client = _client(app)
    # Its thread is begun anew in forked children.
    atexit.register(client.close, timeout=FLUSH_SECONDS)
    app.extensions["delivery.reports"] = client
    logging.root.addHandler(_Reporter(client))


def _client(app: Flask) -> Any:
    from sentry_sdk import Client  # noqa: PLC0415  # an extra

    return Client(
        dsn=app.config["SENTRY_DSN"],
        release=app.config["GIT_REVISION"] or version(),
        environment=app.config["ENVIRONMENT"],
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        before_send=_cut,
    )


def _cut(event: Any, _hint: object) -> Any:
    return {name: value for name, value in event.items() if name in MAY_LEAVE}


class _Reporter(logging.Handler):
    def __init__(self, client: Any) -> None:
        super().__init__(logging.ERROR)
        self._client = client

    def emit(self, record: logging.LogRecord) -> None:
        # Sentry's own troubles would make more of themselves.
        if record.exc_info and record.exc_info[1] is not None and not record.name.startswith(("sentry_sdk", "urllib3")):
            self._client.capture_event(_report(record, record.exc_info[1]))


def _report(record: logging.LogRecord, error: BaseException) -> dict[str, Any]:
    ours = record.name.startswith("delivery.")
    return {
        "level": "error",
        "logger": record.name,
        # The template: what is filled in may be about somebody.
        "message": record.msg if ours and isinstance(record.msg, str) else record.name,
        "exception": {"values": _chain(error)},
        **_where(),
    }


def _where() -> dict[str, Any]:
    tags = dict(logs.current_ids())
    if not has_request_context():
        return {"tags": tags}
    rule = route_of(request)
    return {"transaction": f"{known_method(request.method)} {rule}", "tags": tags}


def _chain(error: BaseException) -> list[dict[str, Any]]:
    """Describe an exception and its causes, the innermost first, as Sentry has it."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found and len(found) < MOST_CAUSES:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return [_described(one) for one in reversed(found)]


def _described(error: BaseException) -> dict[str, Any]:
    kind = type(error)
    return {
        "type": kind.__qualname__,
        "module": kind.__module__,
        "stacktrace": {"frames": _frames(error.__traceback__)},
    }


def _frames(trace: TracebackType | None) -> list[dict[str, Any]]:
    frames = []
    for frame, line in walk_tb(trace):
        module = str(frame.f_globals.get("__name__", "?"))
        place = {"module": module, "function": frame.f_code.co_name, "lineno": line}
        frames.append({**place, "filename": module.replace(".", "/"), "in_app": module.startswith("delivery")})
    return frames[-logs.MOST_FRAMES :]
