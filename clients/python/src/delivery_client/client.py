"""The client: one object that holds the connections, with a part for each part of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from delivery_client.credentials import ApiKey, Session
from delivery_client.deliveries import Deliveries
from delivery_client.events import Events
from delivery_client.imports import Imports, ImportTemplates
from delivery_client.notifications import Notifications
from delivery_client.retrying import patience
from delivery_client.sandbox import Sandbox
from delivery_client.transport import Transport
from delivery_client.webhook_deliveries import WebhookDeliveries
from delivery_client.webhook_endpoints import WebhookEndpoints

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_USER_AGENT = "delivery-client/0.1.0"


class Client:
    """Delivery's API, as one account sees it; threads may share it.

    Args:
        base_url: such as `https://delivery.example`, with or without `/api` at the end.
        api_key: `dms_live_...`, or `dms_test_...` for the sandbox; or else `email` and `password`, with which it
            signs in when it has to.
        timeout_seconds: longest wait for one answer.
        retries: how often a request is repeated when there was no answer, or "later".
        first_pause_seconds: before the first repeat; then twice as long each time.
        longest_pause_seconds: where the API asks for a longer one, the error comes at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        email: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 30,
        retries: int = 4,
        first_pause_seconds: float = 0.5,
        longest_pause_seconds: float = 60,
    ) -> None:
        patient = patience(
            retries=retries, first_pause_seconds=first_pause_seconds, longest_pause_seconds=longest_pause_seconds
        )
        self.transport = Transport(base_url, timeout_seconds=timeout_seconds, patience=patient, user_agent=_USER_AGENT)
        if api_key:
            self.transport.credentials = ApiKey(api_key)
        elif email and password:
            self.transport.credentials = Session(self.transport.sign_in, email=email, password=password)
        else:
            raise ValueError("Give an api_key, or an email and a password.")
        self.deliveries = Deliveries(self.transport)
        self.imports = Imports(self.transport)
        self.import_templates = ImportTemplates(self.transport)
        self.notifications = Notifications(self.transport)
        self.webhook_endpoints = WebhookEndpoints(self.transport)
        self.webhook_deliveries = WebhookDeliveries(self.transport)
        self.events = Events(self.transport)
        self.sandbox = Sandbox(self.transport)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()
