"""Text messages by Twilio, and by providers that speak its protocol."""

from collections.abc import Sequence
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from threading import Lock, local
from typing import Any, Self
from uuid import UUID

import requests
from flask import Config
from requests.adapters import HTTPAdapter
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client
from twilio.rest.api.v2010.account import message as _message  # noqa: F401  else the first text of each process loads it
from urllib3.exceptions import NewConnectionError

from delivery.notifications.channels import Failure, Found, Letter, Unknown, Unreachable
from delivery.notifications.channels.callback_address import status_address
from delivery.notifications.channels.handshake import failed_in_handshake

TWILIO = "https://api.twilio.com"
TOO_MANY, UNAVAILABLE = 429, 503
CREDENTIALS_STATUS = frozenset({401, 403, 404})  # of the account: no message is to blame
SERVER_ERROR = 500
REFERENCE_MAX = 100
THREADS = 8
# Twilio repeats a receipt once, and only where no connection was made, unless the address asks for more
# (www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides). A fragment is no part of what is signed.
_INSISTENCE = "#rc=5&rp=5xx,ct,rt"
_PAGE_SIZE, _LISTED_AT_MOST = 100, 1000


class TwilioTransport:
    """One session with Twilio, for several threads. Its create is not idempotent (error 20500): nothing is repeated.

    `status_address` is where receipts are to go, with a message's id after it; Twilio takes no reference of ours.
    """

    name = "twilio"
    hand_off_size = concurrency = THREADS

    def __init__(
        self, *, account: str, token: str, sender: str, base_url: str, timeout_seconds: float, status_address: str = ""
    ) -> None:
        self._account, self._token, self._sender = account, token, sender
        self._base_url, self._timeout_seconds = base_url, timeout_seconds
        self._status_address = status_address
        self._lock = Lock()
        self._http: _Http | None = None
        self._client: Any = None

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(
            account=config["SMS_API_KEY"],
            token=config["SMS_API_SECRET"],
            sender=config["SMS_FROM"],
            base_url=config["TWILIO_BASE_URL"],
            timeout_seconds=config["SMS_TIMEOUT_SECONDS"],
            status_address=status_address(config["PUBLIC_BASE_URL"], provider=config["TWILIO_BASE_URL"]),
        )

    def open(self) -> None:
        """Begin a session; the connections themselves are made by the first messages."""
        with self._lock:
            if self._client is None:
                self._http = _Http(base_url=self._base_url, timeout_seconds=self._timeout_seconds)
                self._client = Client(self._account, self._token, http_client=self._http)

    def close(self) -> None:
        with self._lock:
            if self._http is not None:
                self._http.session.close()
            self._http = self._client = None

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        self.open()
        try:
            message = self._client.messages.create(
                to=letter.address, body=letter.text, **self._from(), **self._receipts(message_id)
            )
        except (TwilioRestException, TwilioServiceException) as error:
            raise _failure(error) from error
        except requests.ConnectTimeout as error:
            raise Unreachable("twilio_unreachable", type(error).__name__) from error
        except requests.ConnectionError as error:
            raise _broken(error) from error
        except requests.RequestException as error:
            raise Unknown("twilio_no_answer", type(error).__name__) from error
        return str(message.sid)[:REFERENCE_MAX]

    def find(self, letter: Letter, *, since: datetime, until: datetime) -> Sequence[Found]:
        """Return what Twilio took of us with these words for this number between two moments.

        Twilio's filter by date is by the date of sending, which what is still queued has none of; so all of the
        number's are read, the newest first, and compared by the date on which Twilio took them.

        Raises:
            Unreachable: it cannot be asked now.
        """
        self.open()
        try:
            listed = self._client.messages.list(to=letter.address, page_size=_PAGE_SIZE, limit=_LISTED_AT_MOST)
        except (TwilioException, TwilioServiceException, requests.RequestException) as error:
            raise Unreachable("twilio_no_list", type(error).__name__) from error
        return [
            Found(str(one.sid)[:REFERENCE_MAX], str(one.status), one.error_code)
            for one in listed
            if one.body == letter.text and self._is_ours(one) and since <= one.date_created <= until
        ]

    def _from(self) -> dict[str, str]:
        return {"messaging_service_sid" if self._sender.startswith("MG") else "from_": self._sender}

    def _is_ours(self, message: Any) -> bool:
        return self._sender in {message.messaging_service_sid, message.from_}

    def _receipts(self, message_id: UUID) -> dict[str, str]:
        return {"status_callback": f"{self._status_address}{message_id}{_INSISTENCE}"} if self._status_address else {}


class _Http(HttpClient):  # type: ignore[misc]  # twilio brings no types
    """Twilio's client on our terms: base URL, time-out, a connection for each thread, no log of numbers and texts."""

    def __init__(self, *, base_url: str, timeout_seconds: float) -> None:
        self.session = requests.Session()
        self.session.mount("https://", HTTPAdapter(pool_maxsize=THREADS))
        self.session.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
        # The pool is made for threads, the jar is not; Twilio needs no cookies.
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._base_url, self._timeout_seconds = base_url.rstrip("/"), timeout_seconds

    def request(  # noqa: PLR0917  twilio's signature
        self,
        method: str,
        url: str,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        auth: Any = None,
        timeout: float | None = None,
        allow_redirects: bool = False,  # noqa: FBT001, FBT002
    ) -> Response:
        address = self._base_url + url.removeprefix(TWILIO)
        answer = self.session.request(
            method,
            address,
            params=params,
            data=data,
            headers=headers,
            auth=auth,
            timeout=timeout or self._timeout_seconds,
            allow_redirects=allow_redirects,
        )
        asked = answer.headers.get("Retry-After", "")
        _this_thread.retry_after = float(asked) if asked.isdecimal() else None
        return Response(answer.status_code, answer.text, answer.headers)


# Twilio's errors do not hold the headers of the answer; the next failure of the same thread reads this.
_this_thread = local()


def _failure(error: TwilioRestException | TwilioServiceException) -> Failure:
    """Say what an error of Twilio's means (www.twilio.com/docs/api/errors)."""
    error_class = f"twilio_{error.code or error.status}"
    text = str(getattr(error, "msg", None) or getattr(error, "detail", None) or "")
    if error.status in {TOO_MANY, UNAVAILABLE}:
        return Unreachable(error_class, text, retry_after_seconds=_this_thread.retry_after)
    if error.status >= SERVER_ERROR:
        return Unknown(error_class, text)
    if error.status in CREDENTIALS_STATUS:
        return Unreachable(error_class, text)
    return Failure(error_class, text, permanent=True)


def _broken(error: requests.ConnectionError) -> Failure:
    """Tell a connection that was never made from one that broke after the request had left."""
    if isinstance(getattr(error.args[0], "reason", None), NewConnectionError) or failed_in_handshake(error):
        return Unreachable("twilio_unreachable", "No connection.")
    return Unknown("twilio_no_answer", "The connection broke before the answer.")
