"""Speaks to the API: one keep-alive connection a thread, one login for all, retries of what is safe to send again."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30.0
TRIES = 10  # with the pauses below about 26 s: a server that is restarted under the trial is waited for
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_RETRY_AFTER_SECONDS = 60.0
UNAUTHORIZED = 401
TRY_AGAIN = frozenset({429, 502, 503, 504})
CONFLICT = 409  # with Retry-After: the twin of this keyed request is still running


class Refused(Exception):
    """The API answered something else than the trial needs."""


@dataclass(frozen=True)
class Answer:
    """One answer: its status, its JSON and the two headers that the trial heeds."""

    status: int
    body: dict[str, Any]
    retry_after: str | None = None
    replayed: bool = False

    def expect(self, status: int) -> dict[str, Any]:
        """Return the body, or raise Refused with the problem's code and detail."""
        if self.status != status:
            raise Refused(f"{self.status} {self.body.get('code', '')}: {self.body.get('detail') or self.body}")
        return self.body


@dataclass
class Meter:
    """What all connections measured: seconds of each successful request by kind, and counts of what was odd.

    An answer replayed from an earlier run is counted, not timed: it says nothing about a create or a move.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def timed(self, kind: str, *, seconds: float) -> None:
        with self._lock:
            self.seconds.setdefault(kind, []).append(seconds)

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1


class Connection:
    """One keep-alive connection to the server at a URL; opened again when it was lost."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._http = kind(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT_SECONDS)
        self._prefix = parts.path.rstrip("/")

    def exchange(self, method: str, path: str, *, body: object = None, headers: dict[str, str]) -> Answer:
        """Send one request and read its answer; OSError or HTTPException when the line broke."""
        data = None if body is None else json.dumps(body).encode()
        content = {} if data is None else {"Content-Type": "application/json"}
        try:
            self._http.request(method, self._prefix + path, body=data, headers=headers | content)
            return _answer(self._http.getresponse())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        self._http.close()


def _answer(response: http.client.HTTPResponse) -> Answer:
    raw = response.read()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        body = {"detail": f"an answer that is not JSON, {len(raw)} bytes"}
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return Answer(response.status, body, retry_after=response.headers.get("Retry-After"), replayed=replayed)


class Account:
    """The access token that all connections share; logs in again when one of them finds it dead."""

    def __init__(self, url: str, *, email: str, password: str) -> None:
        self._url = url
        self._login = {"email": email, "password": password}
        self._token = ""
        self._lock = threading.Lock()

    def token(self, *, dead: str = "") -> str:
        """Return a token other than the dead one; of many threads that lost the same token one logs in."""
        with self._lock:
            if self._token == dead:
                self._token = self._logged_in()
            return self._token

    def _logged_in(self) -> str:
        with closing(Connection(self._url)) as connection:
            answer = persist(lambda: connection.exchange("POST", "/api/auth/login", body=self._login, headers={}))
        return str(answer.expect(200)["access_token"])


class Client:
    """One thread's way to the API."""

    def __init__(self, url: str, *, account: Account, meter: Meter) -> None:
        self._connection = Connection(url)
        self._account = account
        self._meter = meter

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str, *, kind: str) -> dict[str, Any]:
        return persist(lambda: self._once("GET", path, kind=kind), meter=self._meter).expect(200)

    def post(self, path: str, *, body: object, key: str, kind: str, expected: int) -> dict[str, Any]:
        """Send a POST until it is answered; the key makes the second sending harmless."""
        answer = persist(lambda: self._once("POST", path, body=body, key=key, kind=kind), meter=self._meter)
        return answer.expect(expected)

    def _once(self, method: str, path: str, *, kind: str, body: object = None, key: str | None = None) -> Answer:
        """Send one request, and once more with a fresh token when this one had died."""
        token = self._account.token()
        answer = self._timed(method, path, kind=kind, body=body, headers=_headers(token, key=key))
        if answer.status != UNAUTHORIZED:
            return answer
        fresh = self._account.token(dead=token)
        return self._timed(method, path, kind=kind, body=body, headers=_headers(fresh, key=key))

    def _timed(self, method: str, path: str, *, kind: str, body: object, headers: dict[str, str]) -> Answer:
        started = time.perf_counter()
        answer = self._connection.exchange(method, path, body=body, headers=headers)
        if answer.replayed:
            self._meter.count("replayed")
        elif answer.status < 400:
            self._meter.timed(kind, seconds=time.perf_counter() - started)
        return answer


def _headers(token: str, *, key: str | None) -> dict[str, str]:
    keyed = {"Idempotency-Key": key} if key else {}
    return {"Authorization": f"Bearer {token}"} | keyed


def persist(send: Callable[[], Answer], *, meter: Meter | None = None) -> Answer:
    """Call send until it gives an answer worth keeping; pauses grow, Retry-After wins."""
    for attempt in range(1, TRIES + 1):
        answer, lost = _attempt(send)
        if answer and not _asks_again(answer):
            return answer
        if attempt < TRIES:
            if meter:
                meter.count("lost connections" if lost else f"answers {answer.status if answer else 0}")
            time.sleep(_pause(answer, attempt=attempt))
    if answer:
        return answer
    raise Refused(f"no answer after {TRIES} tries: {lost!r}")


def _attempt(send: Callable[[], Answer]) -> tuple[Answer | None, Exception | None]:
    try:
        return send(), None
    except (OSError, http.client.HTTPException) as error:
        return None, error


def _asks_again(answer: Answer) -> bool:
    return answer.status in TRY_AGAIN or (answer.status == CONFLICT and answer.retry_after is not None)


def _pause(answer: Answer | None, *, attempt: int) -> float:
    if answer and answer.retry_after and answer.retry_after.isdigit():
        return min(float(answer.retry_after), LONGEST_RETRY_AFTER_SECONDS)
    return min(0.1 * 2**attempt, LONGEST_PAUSE_SECONDS)
