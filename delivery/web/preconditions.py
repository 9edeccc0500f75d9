"""If-Match (RFC 9110, 13.1.1): which versions a change may start from."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import request

from delivery.errors import Malformed, PreconditionFailed, PreconditionRequired
from delivery.web.answers import etag_of
from delivery.web.documented import ENTITY_TAGS, takes_header

View = TypeVar("View", bound=Callable[..., Any])
_ENTITY_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"\s*{_ENTITY_TAG}(?:\s*,\s*{_ENTITY_TAG})*\s*")
_STRONG = re.compile(r'(W/)?"([^"]*)"')


class Expected:
    """The versions that the caller has seen; none given means any."""

    def __init__(self, header: str | None) -> None:
        if header is None or header.strip() == "*":
            self._tags: frozenset[str] | None = None
        elif _LIST.fullmatch(header):
            # Weak tags never match: If-Match compares strongly.
            self._tags = frozenset(tag for weak, tag in _STRONG.findall(header) if not weak)
        else:
            raise Malformed('If-Match must be `*` or quoted entity tags, such as "3".')

    def check(self, version: int) -> None:
        """Raise PreconditionFailed, with the current ETag, unless the caller has seen this version."""
        if self._tags is not None and str(version) not in self._tags:
            headers = {"ETag": etag_of(version)}
            raise PreconditionFailed("It has changed since you read it; read it again.", headers=headers)


ANY_VERSION = Expected(None)


def if_match(view: View) -> View:
    """Require If-Match and give the view `expected`."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        header = request.headers.get("If-Match")
        if header is None:
            raise PreconditionRequired("Send If-Match with the ETag that you last read.")
        return view(*args, expected=Expected(header), **kwargs)

    takes_header(wrapper, "If-Match", "The ETag that you last read, or `*`.", pattern=ENTITY_TAGS, required=True)
    return wrapper  # type: ignore[return-value]


def if_match_optional(view: View) -> View:
    """Heed If-Match when it is sent, and give the view `expected`."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, expected=Expected(request.headers.get("If-Match")), **kwargs)

    takes_header(
        wrapper, "If-Match", "The ETag that you last read: refused if it has changed since.", pattern=ENTITY_TAGS
    )
    return wrapper  # type: ignore[return-value]
