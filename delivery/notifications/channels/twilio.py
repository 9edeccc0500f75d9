"""Text messages by Twilio, and by providers that speak its protocol."""

from typing import Any, Self
from uuid import UUID

import requests
from flask import Config
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client
from urllib3.exceptions import NewConnectionError

from delivery.notifications.channels import Failure, Letter, Unknown, Unreachable
from delivery.notifications.channels.handshake import failed_in_handshake

TWILIO = "https://api.twilio.com"
TOO_MANY, UNAVAILABLE = 429, 503
CREDENTIALS_STATUS = frozenset({401, 403, 404})  # of the account: no message is to blame
SERVER_ERROR = 500
REFERENCE_MAX = 100


class TwilioTransport:
    """One session with Twilio. Its create is not idempotent (error 20500), so nothing is repeated here."""

    name = "twilio"
    hand_off_size = 1
    concurrency = 1

    def __init__(self, *, account: str, token: str, sender: str, base_url: str, timeout_seconds: float) -> None:
        self._account, self._token, self._sender = account, token, sender
        self._base_url, self._timeout_seconds = base_url, timeout_seconds
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
        )

    def open(self) -> None:
        """Begin a session; the connection itself is made by the first message."""
        if self._client is None:
            self._http = _Http(base_url=self._base_url, timeout_seconds=self._timeout_seconds)
            self._client = Client(self._account, self._token, http_client=self._http)

    def close(self) -> None:
        if self._http is not None:
            self._http.session.close()
        self._http = self._client = None

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        self.open()
        try:
            message = self._client.messages.create(to=letter.address, body=letter.text, **self._from())
        except (TwilioRestException, TwilioServiceException) as error:
            raise _failure(error, retry_after=self._http.retry_after if self._http else None) from error
        except requests.ConnectTimeout as error:
            raise Unreachable("twilio_unreachable", type(error).__name__) from error
        except requests.ConnectionError as error:
            raise _broken(error) from error
        except requests.RequestException as error:
            raise Unknown("twilio_no_answer", type(error).__name__) from error
        return str(message.sid)[:REFERENCE_MAX]

    def _from(self) -> dict[str, str]:
        return {"messaging_service_sid" if self._sender.startswith("MG") else "from_": self._sender}


class _Http(HttpClient):  # type: ignore[misc]  # twilio brings no types
    """Twilio's client on our terms: base URL, time-out, and no log of numbers and texts."""

    def __init__(self, *, base_url: str, timeout_seconds: float) -> None:
        self.session = requests.Session()
        self.retry_after: float | None = None
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
        self.retry_after = float(asked) if asked.isdecimal() else None
        return Response(answer.status_code, answer.text, answer.headers)


def _failure(error: TwilioRestException | TwilioServiceException, *, retry_after: float | None) -> Failure:
    """Say what an error of Twilio's means (www.twilio.com/docs/api/errors)."""
    error_class = f"twilio_{error.code or error.status}"
    text = str(getattr(error, "msg", None) or getattr(error, "detail", None) or "")
    if error.status in {TOO_MANY, UNAVAILABLE}:
        return Unreachable(error_class, text, retry_after_seconds=retry_after)
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
