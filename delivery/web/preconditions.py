"""If-Match (RFC 9110, 13.1.1): which versions a change may start from."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

from flask import request

from delivery.errors import PreconditionFailed, PreconditionRequired
from delivery.web.answers import entity_tags, etag_of
from delivery.web.documented import ENTITY_TAGS, takes_header

View = TypeVar("View", bound=Callable[..., Any])


class Expected:
    """The versions that the caller has seen; none given means any."""

    def __init__(self, tags: Iterable[tuple[str, str]] | None = None) -> None:
        # Weak tags never match: If-Match compares strongly.
        self._tags = None if tags is None else frozenset(tag for weak, tag in tags if not weak)

    def check(self, version: int) -> None:
        """Raise PreconditionFailed, with the current ETag, unless the caller has seen this version."""
        if self._tags is not None and str(version) not in self._tags:
            headers = {"ETag": etag_of(version)}
            raise PreconditionFailed("It has changed since you read it; read it again.", headers=headers)


ANY_VERSION = Expected()


def _sent() -> Expected:
    return Expected(entity_tags("If-Match")) if "If-Match" in request.headers else ANY_VERSION


def if_match(view: View) -> View:
    """Require If-Match and give the view `expected`."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if "If-Match" not in request.headers:
            raise PreconditionRequired("Send If-Match with the ETag that you last read.")
        return view(*args, expected=_sent(), **kwargs)

    says = "The ETag that you last read, or `*`."
    takes_header(wrapper, "If-Match", says, pattern=ENTITY_TAGS, check=_sent, required=True)
    return wrapper  # type: ignore[return-value]


def if_match_optional(view: View) -> View:
    """Heed If-Match when it is sent, and give the view `expected`."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, expected=_sent(), **kwargs)

    says = "The ETag that you last read: refused if it has changed since."
    takes_header(wrapper, "If-Match", says, pattern=ENTITY_TAGS, check=_sent)
    return wrapper  # type: ignore[return-value]
