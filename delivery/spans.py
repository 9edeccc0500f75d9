"""Spans: the pieces of work that traces follow. Nobody follows any until ops/traces.py says how."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from flask import Flask, current_app

_KEY = "delivery.spans"
_NOTHING = nullcontext()
Follow = Callable[[str], AbstractContextManager[Any]]


def follow(app: Flask, by: Follow) -> None:
    """Have every span of an app be entered through by(name)."""
    app.extensions[_KEY] = by


def span(name: str) -> AbstractContextManager[Any]:
    """Follow what is done inside; `name` is one of few, never about a person."""
    by: Follow | None = current_app.extensions.get(_KEY)
    return by(name) if by else _NOTHING
