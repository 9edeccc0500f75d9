"""Webhooks by HTTPS: to addresses that are public, and to nobody else, whatever a URL, a name or an answer says.

A name is resolved once, and the connection goes to what was found and checked, never to the name again. By http.client
and not by a library on top of it: there is no redirect, cookie, proxy or decompression here to be switched off.
"""

import functools
import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Self
from uuid import UUID

from flask import Config

from delivery import clock
from delivery.notifications.channels import Failure, Letter, Unknown, printable
from delivery.notifications.channels.connections import Connection, Kept
from delivery.notifications.channels.deadlines import HEARD_MAX, connected, over_tls, trusting
from delivery.notifications.channels.public_addresses import Refused, Rules, Target, failure

CONNECT_SECONDS, TOTAL_SECONDS = 3.0, 15.0
EXCERPT_MAX = 1024
GONE, ASKED_TO_WAIT = 410, frozenset({429, 503})
Resolve = Callable[..., list[Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    retry_after: str | None
    whole: bool

    @property
    def fine(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004  RFC 9110, 15.3


class WebhookTransport:
    """Sends from several threads; connections that worked are kept for the drain's next letters."""

    name = "webhook"
    hand_off_size = 64
    concurrency = 40

    def __init__(
        self,
        *,
        rules: Rules,
        resolve: Resolve = socket.getaddrinfo,
        authorities: str | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._rules, self._resolve, self._authorities = rules, resolve, authorities
        self._connect_seconds, self._total_seconds = connect_seconds, total_seconds
        self._kept = Kept()

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(rules=rules_of(config))

    def open(self) -> None:
        """Nothing to connect to: each letter has its own receiver."""

    def close(self) -> None:
        self._kept.close()

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        deadline = time.monotonic() + self._total_seconds
        try:
            target = self._rules.target(letter.address)
            answer = self._post(target, letter, deadline)
        except Refused as refused:
            raise failure(refused) from refused
        _judge(answer, expected=letter.expects)
        return str(answer.status)

    def _post(self, target: Target, letter: Letter, deadline: float) -> Answer:
        """Send a letter over a kept connection, else over a new one."""
        connection = self._kept.take(target)
        if connection is not None:
            try:
                return self._exchange(connection, letter, deadline)
            except Failure:
                if connection.heard:
                    raise
                # It had been closed meanwhile. Receivers know a message by its id, should it have arrived.
        return self._exchange(self._connect(target, deadline), letter, deadline)

    def _exchange(self, connection: Connection, letter: Letter, deadline: float) -> Answer:
        try:
            response = connection.post(letter.text.encode(), letter.headers, deadline=deadline)
            answer = _answer(response)
        except TimeoutError as error:
            connection.close()
            raise Unknown("timeout", "No whole answer within the time.") from error
        except http.client.HTTPException as error:
            connection.close()
            raise Unknown("bad_answer", f"The answer is no HTTP ({type(error).__name__}).") from error
        except OSError as error:
            connection.close()
            raise Unknown("no_answer", f"The connection broke ({type(error).__name__}).") from error
        if answer.whole and not response.will_close:
            self._kept.give_back(connection)
        else:
            connection.close()
        return answer

    def _connect(self, target: Target, deadline: float) -> Connection:
        places = self._places(target)
        try:
            plain = connected(places, deadline=min(deadline, time.monotonic() + self._connect_seconds))
        except TimeoutError as error:
            raise Failure("connect_timeout", "No connection within the time.") from error
        except OSError as error:
            raise Failure("connect_failed", f"No connection ({type(error).__name__}).") from error
        if target.scheme == "http":
            return Connection(target, plain)
        try:
            plain.begin(deadline)
            return Connection(target, over_tls(plain, trust=self._trust, host=target.host, deadline=deadline))
        except ssl.SSLError as error:
            raise Failure("tls", f"No secure connection: {error.reason}") from error
        except OSError as error:
            raise Failure("tls", f"No secure connection ({type(error).__name__}).") from error

    def _places(self, target: Target) -> list[Any]:
        """Resolve a name, once, and refuse it if any of its addresses is not public."""
        try:
            places = _in_time(self._resolve, target.host, target.port, seconds=self._connect_seconds)
        except TimeoutError as error:
            raise Failure("dns_timeout", "The name was not resolved within the time.") from error
        except (OSError, UnicodeError) as error:
            raise Failure("dns", "The name leads nowhere.") from error
        for *_, address in places:
            self._rules.check_reached(target, ip_address(address[0]))
        return places

    @functools.cached_property
    def _trust(self) -> ssl.SSLContext:
        """Whom we believe; reading all authorities takes 10 ms, so once a process."""
        return trusting(self._authorities)


def rules_of(config: Config) -> Rules:
    """Return where webhooks may go by the settings."""
    return Rules(
        ports=tuple(config["WEBHOOK_PORTS"]),
        loopback=config["WEBHOOK_ALLOW_LOOPBACK"],
        refused=tuple(config["WEBHOOK_REFUSED_NETWORKS"]),
    )


def _in_time(resolve: Resolve, host: str, port: int, *, seconds: float) -> list[Any]:
    """Resolve a name in a thread of its own: the system's resolver knows no time-out that we could set.

    Raises:
        TimeoutError: it takes longer; the thread ends by itself.
    """
    results: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            results.put(resolve(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            results.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        found = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, Exception):
        raise found
    return found


def _answer(response: http.client.HTTPResponse) -> Answer:
    """Read what is needed of an answer; once its head says yes, its body cannot take that back."""
    status, retry_after = response.status, response.getheader("Retry-After")
    try:
        body = response.read(HEARD_MAX)  # of a length: without one, http.client makes room for what is promised
    except (http.client.IncompleteRead, OSError):
        answer = Answer(status, "", retry_after, whole=False)
        if answer.fine:
            return answer
        raise
    return Answer(status, _text(body), retry_after, whole=response.isclosed())


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _judge(answer: Answer, *, expected: str) -> None:
    """Say what an answer means (Standard Webhooks, "Delivery and retries").

    Raises:
        Failure: it is not one that says that the letter was taken.
    """
    if answer.fine and expected in answer.text:
        return
    if answer.fine:
        raise Failure("challenge_unanswered", "The answer does not hold the challenge.")
    raise Failure(
        f"http_{answer.status}",
        f"{answer.status} {printable(answer.text[:EXCERPT_MAX])}".strip(),
        permanent=answer.status == GONE,
        retry_after_seconds=_wait(answer.retry_after) if answer.status in ASKED_TO_WAIT else None,
    )


def _wait(asked: str | None) -> float | None:
    """Return the seconds of a Retry-After: a number, or an HTTP date (RFC 9110, 10.2.3)."""
    if asked is None:
        return None
    if asked.strip().isdecimal() and asked.isascii():
        return float(asked[:9])
    try:
        until = parsedate_to_datetime(asked)
        aware = until if until.tzinfo else until.replace(tzinfo=clock.ZONE)
        return max(0.0, (aware - clock.now()).total_seconds())
    except (ValueError, OverflowError):  # whoever is asked may answer anything
        return None
