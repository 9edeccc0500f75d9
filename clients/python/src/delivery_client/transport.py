"""One request to the API, with everything around it: credentials, key, retries, errors."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import HTTPError

from delivery_client.errors import ApiError, NotFound, Unauthorized, Unreachable, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from delivery_client.credentials import Credentials
    from delivery_client.retrying import Patience
    from delivery_client.types import Versioned

_AS_JSON = {"Content-Type": "application/json"}
_KEYED = frozenset({"POST", "PATCH"})
_AN_ERROR = 300  # and all above: redirects are not followed
_NO_CONTENT = 204


def at(*parts: str) -> str:
    """Return the path of a thing; an id that has a slash in it leads nowhere else."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


class Transport:
    """The connections to one deployment; threads may share it."""

    def __init__(self, base_url: str, *, timeout_seconds: float, patience: Patience, user_agent: str) -> None:
        self._base = base_url.rstrip("/").removesuffix("/api")
        self._patience = patience
        self._pool = urllib3.PoolManager(
            maxsize=10,
            timeout=urllib3.Timeout(connect=min(timeout_seconds, 10), read=timeout_seconds),
        )
        self._headers = {"User-Agent": user_agent, "Accept": "application/json, application/problem+json"}
        self.credentials: Credentials | None = None

    def close(self) -> None:
        self._pool.clear()

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        return self.call("POST", path, body=body, idempotency_key=idempotency_key)

    def patch(self, path: str, seen: Versioned, body: Mapping[str, Any], *, idempotency_key: str | None) -> Any:
        """Change what is still as it was `seen`."""
        return self.call("PATCH", path, body=body, seen=seen, idempotency_key=idempotency_key)

    def delete(self, path: str, seen: Versioned) -> None:
        """Delete what is still as it was `seen`."""
        self.call("DELETE", path, seen=seen)

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Yield the items of a list, asking for a page when it is needed; what is added meanwhile shifts nothing."""
        cursor = None
        while True:
            page = self.get(path, **query, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        seen: Versioned | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Make a call as whoever the credentials say.

        Raises:
            ApiError: it was refused.
            Unreachable: there was no answer.
        """
        headers = {} if seen is None else {"If-Match": f'"{seen["version"]}"'}
        if method in _KEYED:
            headers["Idempotency-Key"] = idempotency_key or uuid.uuid4().hex
        if self.credentials is None:
            return self._send(method, path, headers, query, body)
        token = self.credentials.token()
        try:
            return self._send(method, path, headers | {"Authorization": f"Bearer {token}"}, query, body)
        except Unauthorized:
            if not self.credentials.renew(token):
                raise
        headers["Authorization"] = f"Bearer {self.credentials.token()}"
        return self._send(method, path, headers, query, body)

    def sign_in(self, path: str, body: Mapping[str, str]) -> Any:
        """Post without credentials, to get some."""
        return self._send("POST", path, {}, None, body)

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
    ) -> Any:
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self._base}{path}" + (f"?{urlencode(_texts(asked), doseq=True)}" if asked else "")
        sent = None if body is None else json.dumps(body, default=_plain)
        headers = {**self._headers, **headers, **({} if sent is None else _AS_JSON)}
        try:
            response = self._pool.request(
                method, url, body=sent, headers=headers, retries=self._patience, redirect=False
            )
        except HTTPError as error:
            raise Unreachable(f"{method} {path}: {error}", idempotency_key=headers.get("Idempotency-Key")) from error
        return _read(method, response)


def _read(method: str, response: urllib3.BaseHTTPResponse) -> Any:
    if response.status >= _AN_ERROR:
        error = error_of(response)
        if method == "DELETE" and isinstance(error, NotFound) and _answer_was_lost(response):
            return None  # by us, a moment ago
        raise error
    if response.status == _NO_CONTENT:
        return None
    try:
        return json.loads(response.data)
    except ValueError:
        raise ApiError(response.status, {"code": "not_json", "detail": "This is not an answer of the API."}) from None


def _answer_was_lost(response: urllib3.BaseHTTPResponse) -> bool:
    return response.retries is not None and len(response.retries.history) > 0


def _texts(query: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [_text(one) for one in value] if isinstance(value, (list, tuple, set, frozenset)) else _text(value)
        for name, value in query.items()
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(_plain(value))


def _plain(value: object) -> Any:
    """Return what JSON has for a value; a time without a zone could be any of 24 hours, and is refused."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("A time needs its zone: datetime(..., tzinfo=timezone.utc).")
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (uuid.UUID, int, float)):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON.")
