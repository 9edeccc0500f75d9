"""The logs: one line a record, the id of the request or job on each, and nothing about people in any."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from traceback import walk_tb
from types import MappingProxyType, TracebackType
from typing import Any, Self

from flask import Flask
from werkzeug.local import LocalProxy

from delivery import clock

# What a line may carry beside its message, passed as `extra`; every other extra is dropped.
FIELDS = (
    "method",
    "path",  # the route's rule; a raw path or query may hold a token
    "status",
    "duration_ms",
    "user_id",
    "key_id",
    "delivery_id",
    "message_id",
    "channel",
    "attempt",
    "error_class",
    "count",
    "code",
)
# With these a line stays near the 4 KiB that a pipe takes in one piece, so that two processes' lines do not mix.
LONGEST_TEXT = 1000
MOST_FRAMES = 20

_ids: ContextVar[Mapping[str, str]] = ContextVar("log_ids", default=MappingProxyType({}))


class bound:  # noqa: N801 - a context manager, read as a verb like those of contextlib
    """Put the id of a request or job on every line that is logged inside.

    It restores by value, because a ContextVar's token cannot be reset where a request is torn down in another context.
    """

    def __init__(self, *, request_id: str | None = None, job_id: str | None = None) -> None:
        given = {"request_id": request_id, "job_id": job_id}
        self._new = {name: value for name, value in given.items() if value}
        self._before: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self._before = _ids.get()
        _ids.set({**self._before, **self._new})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ids.set(self._before)


def current_request_id() -> str | None:
    """Return the id of the request that is being answered, or whose job is running."""
    return _ids.get().get("request_id")


def current_ids() -> Mapping[str, str]:
    """Return the ids that stand on each line now."""
    return _ids.get()


def init_app(app: Flask) -> None:
    """Send the records of the whole process through one handler, by LOG_LEVEL and LOG_FORMAT."""
    form = JsonLines if app.config["LOG_FORMAT"] == "json" else TextLines
    # The stream is looked up at each line: click, pytest and daemons exchange sys.stderr. Standard output is the CLI's.
    handler = _Handler(LocalProxy(lambda: sys.stderr))
    handler.setLevel(app.config["LOG_LEVEL"])
    handler.setFormatter(form(flask_logger=app.name))
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    logging.getLogger("delivery").setLevel(app.config["LOG_LEVEL"])
    adopt()


def adopt() -> None:
    """Take the loggers of gunicorn and RQ over from the handlers that those have set up, and silence the talkative."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"gunicorn", "rq"}:
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
    # Both would log raw paths and queries; delivery.access says what was asked.
    logging.getLogger("gunicorn.access").setLevel(logging.CRITICAL)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)


class _Handler(logging.StreamHandler[Any]):
    """Ours, so that a second app replaces it and leaves others alone."""


class _Lines(logging.Formatter):
    def __init__(self, *, flask_logger: str) -> None:
        super().__init__()
        self._flask_logger = flask_logger

    def describe(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return everything that is said about a record."""
        # Flask names its logger after the app, and logs raw paths there.
        ours = record.name.startswith("delivery.") and record.name != self._flask_logger
        extras = {name: getattr(record, name, None) for name in FIELDS}
        return {
            "ts": clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "msg": (_own_text(record) if ours else _foreign_text(record))[:LONGEST_TEXT],
            **_ids.get(),
            **{name: _plain(value) for name, value in extras.items() if value is not None},
            **_exception(record),
        }


class JsonLines(_Lines):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        # It escapes all but printable ASCII; orjson leaves line separators alone and fails on a lone surrogate.
        return json.dumps(self.describe(record))


class TextLines(_Lines):
    """Lines for people; the frames of an exception stand below, one each."""

    def format(self, record: logging.LogRecord) -> str:
        said = self.describe(record)
        frames = said.pop("frames", [])
        first = " ".join((said.pop("ts"), said.pop("level"), said.pop("logger"), _escaped(said.pop("msg"))))
        rest = (f" {name}={_escaped(str(value))}" for name, value in said.items())
        return "".join([first, *rest, *(f"\n    {frame}" for frame in frames)])


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _plain(value: Any) -> str | int | float:
    return value if isinstance(value, int | float) else str(value)[:LONGEST_TEXT]


# --- What may be said: our own words; of others', what cannot be about a person ---

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NO_WORD = re.compile(r"\S*[^\sA-Za-z.,;()'-]\S*")


class _Hidden:
    def __repr__(self) -> str:
        return "[hidden]"


_HIDDEN = _Hidden()


def _own_text(record: logging.LogRecord) -> str:
    if isinstance(record.msg, BaseException):
        return type(record.msg).__name__
    try:
        return record.getMessage()
    except (TypeError, ValueError, LookupError):
        return str(record.msg)  # arguments that do not fit; logging itself would print them all


def _foreign_text(record: logging.LogRecord) -> str:
    """Keep a library's template, and of what it fills in the numbers and identifiers.

    gunicorn fills in raw addresses and the client's IP, RQ whole tracebacks, Twilio's client the telephone number.
    """
    if isinstance(record.msg, BaseException):
        return type(record.msg).__name__
    text = str(record.msg)
    if not record.args:  # perhaps filled in already; the detail mostly follows a colon
        return _NO_WORD.sub("[hidden]", text.partition(": ")[0])
    args = record.args
    shown = {k: _shown(v) for k, v in args.items()} if isinstance(args, Mapping) else tuple(map(_shown, args))
    try:
        return text % shown
    except (TypeError, ValueError, LookupError):
        return text


def _shown(value: object) -> object:
    safe = isinstance(value, int | float) or (isinstance(value, str) and _IDENTIFIER.fullmatch(value))
    return value if safe else _HIDDEN


def _exception(record: logging.LogRecord) -> dict[str, Any]:
    """Describe an exception by its class, causes and frames; a library's text may hold addresses or SQL parameters."""
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    error, trace = record.exc_info[1], record.exc_info[2]
    frames = [f"{frame.f_globals.get('__name__', '?')}:{line}" for frame, line in walk_tb(trace)]
    said: dict[str, Any] = {"exception": _class_name(error), "frames": frames[-MOST_FRAMES:]}
    if type(error).__module__.startswith("delivery."):
        said["exception_text"] = str(error)[:LONGEST_TEXT]
    if causes := _causes(error):
        said["caused_by"] = causes
    return said


def _causes(error: BaseException) -> list[str]:
    found: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and cause not in found and len(found) < MOST_FRAMES:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return [_class_name(one) for one in found]


def _class_name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
