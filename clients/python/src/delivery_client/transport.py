"""One request to the API, with everything around it: credentials, key, retries, errors."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3 import encode_multipart_formdata
from urllib3.exceptions import HTTPError

from delivery_client.errors import ApiError, NotFound, Unauthorized, Unreachable, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from delivery_client.credentials import Credentials
    from delivery_client.retrying import Patience
    from delivery_client.types import Versioned

_FILE = {"Accept": "*/*"}
_KEYED = frozenset({"POST", "PATCH"})
_AN_ERROR = 300  # and all above: redirects are not followed
_NO_CONTENT = 204
_PIECE_BYTES = 65_536


@dataclass(frozen=True)
class Content:
    """A body as it is sent."""

    data: bytes | str
    kind: str


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
        return _json(self.call("GET", path, query=query))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        return _json(self.call("POST", path, content=_written(body), idempotency_key=idempotency_key))

    def patch(self, path: str, seen: Versioned, body: Mapping[str, Any], *, idempotency_key: str | None) -> Any:
        """Change what is still as it was `seen`."""
        return _json(self.call("PATCH", path, content=_written(body), seen=seen, idempotency_key=idempotency_key))

    def delete(self, path: str, seen: Versioned) -> None:
        """Delete what is still as it was `seen`."""
        self.call("DELETE", path, seen=seen)

    def upload(self, path: str, parts: Mapping[str, Any], *, idempotency_key: str | None) -> Any:
        """Post a form; a part is a text, or a file as its name, bytes and kind."""
        content = Content(*encode_multipart_formdata(parts))
        return _json(self.call("POST", path, content=content, idempotency_key=idempotency_key))

    def file(self, method: str, path: str, *, body: Mapping[str, Any] | None = None, **query: Any) -> bytes:
        """Return what is no JSON, whole."""
        return self.call(method, path, content=_written(body), query=query, headers=_FILE).data

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """Yield what is no JSON in pieces, as they come.

        Raises:
            Unreachable: it broke off; what came is not whole.
        """
        response = self.call("GET", path, query=query, headers=_FILE, whole=False)
        try:
            yield from response.stream(_PIECE_BYTES)
        except HTTPError as error:
            raise Unreachable(f"GET {path} broke off: {error}", idempotency_key=None) from error
        finally:
            response.close()

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
        content: Content | None = None,
        seen: Versioned | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        whole: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """Make a call as whoever the credentials say; unless `whole`, the answer's body is still to be read.

        Raises:
            ApiError: it was refused.
            Unreachable: there was no answer.
        """
        sent = {**(headers or {}), **({} if seen is None else {"If-Match": f'"{seen["version"]}"'})}
        if method in _KEYED:
            sent["Idempotency-Key"] = idempotency_key or uuid.uuid4().hex
        url = _with_query(path, query or {})
        if self.credentials is None:
            return self._send(method, url, sent, content, whole=whole)
        token = self.credentials.token()
        try:
            return self._send(method, url, sent | {"Authorization": f"Bearer {token}"}, content, whole=whole)
        except Unauthorized:
            if not self.credentials.renew(token):
                raise
        sent["Authorization"] = f"Bearer {self.credentials.token()}"
        return self._send(method, url, sent, content, whole=whole)

    def sign_in(self, path: str, body: Mapping[str, str]) -> Any:
        """Post without credentials, to get some."""
        return _json(self._send("POST", path, {}, _written(body)))

    def _send(
        self, method: str, path: str, headers: dict[str, str], content: Content | None, *, whole: bool = True
    ) -> urllib3.BaseHTTPResponse:
        headers = {**self._headers, **headers, **({} if content is None else {"Content-Type": content.kind})}
        try:
            response = self._pool.request(
                method,
                f"{self._base}{path}",
                body=None if content is None else content.data,
                headers=headers,
                retries=self._patience,
                redirect=False,
                preload_content=whole,
            )
            if response.status >= _AN_ERROR:
                _refuse(method, response)
        except HTTPError as error:
            key = headers.get("Idempotency-Key")
            raise Unreachable(f"{method} {path}: {error}", idempotency_key=key) from error
        return response


def _refuse(method: str, response: urllib3.BaseHTTPResponse) -> None:
    """Raise the error that an answer is; none where a deletion finds nothing more, for its first answer was lost."""
    error = error_of(response)
    if not (method == "DELETE" and isinstance(error, NotFound) and _answer_was_lost(response)):
        raise error


def _json(response: urllib3.BaseHTTPResponse) -> Any:
    if response.status == _NO_CONTENT:
        return None
    try:
        return json.loads(response.data)
    except ValueError:
        raise ApiError(response.status, {"code": "not_json", "detail": "This is not an answer of the API."}) from None


def _written(body: Mapping[str, Any] | None) -> Content | None:
    return None if body is None else Content(json.dumps(body, default=_plain), "application/json")


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(_texts(asked), doseq=True)}" if asked else path


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
