"""/api/webhook-endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from delivery_client.transport import at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from delivery_client.transport import Transport
    from delivery_client.types import (
        EndpointChanges,
        NewEndpoint,
        Versioned,
        WebhookEndpoint,
        WebhookEndpointWithSecret,
    )
    from delivery_client.webhook_types import Replayed, ReplayRange

_NAME = "webhook-endpoints"


class WebhookEndpoints:
    """Where your programs are told of events."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, *, idempotency_key: str | None = None, **endpoint: Unpack[NewEndpoint]
    ) -> WebhookEndpointWithSecret:
        """Make an endpoint. Its `secret` is None where the first answer was lost on the way: call rotate_secret()."""
        made = self._transport.post(at(_NAME), endpoint, idempotency_key=idempotency_key)
        return cast("WebhookEndpointWithSecret", made)

    def list(self, *, limit: int = 100) -> Iterator[WebhookEndpoint]:
        """Go through your endpoints, the newest first."""
        return self._transport.pages(at(_NAME), limit=limit)

    def get(self, endpoint_id: str) -> WebhookEndpoint:
        """Read one of your endpoints."""
        return cast("WebhookEndpoint", self._transport.get(at(_NAME, endpoint_id)))

    def edit(
        self, seen: Versioned, *, idempotency_key: str | None = None, **changes: Unpack[EndpointChanges]
    ) -> WebhookEndpoint:
        """Change one of your endpoints; with a new URL it has to answer a challenge again."""
        path = at(_NAME, seen["id"])
        return cast("WebhookEndpoint", self._transport.patch(path, seen, changes, idempotency_key=idempotency_key))

    def delete(self, seen: Versioned) -> None:
        """Delete one of your endpoints; what is queued for it is not sent."""
        self._transport.delete(at(_NAME, seen["id"]), seen)

    def rotate_secret(self, endpoint_id: str) -> WebhookEndpointWithSecret:
        """Give one a new secret; for 24 hours the old one signs, too."""
        return cast("WebhookEndpointWithSecret", self._transport.post(at(_NAME, endpoint_id, "rotate-secret")))

    def verify(self, endpoint_id: str) -> WebhookEndpoint:
        """Send one the challenge again."""
        return cast("WebhookEndpoint", self._transport.post(at(_NAME, endpoint_id, "verify")))

    def enable(self, endpoint_id: str) -> WebhookEndpoint:
        """Enable one that was disabled."""
        return cast("WebhookEndpoint", self._transport.post(at(_NAME, endpoint_id, "enable")))

    def test(self, endpoint_id: str) -> None:
        """Send one an event of the type `endpoint.test`."""
        self._transport.post(at(_NAME, endpoint_id, "test"))

    def replay(self, endpoint_id: str, *, idempotency_key: str | None = None, **asked: Unpack[ReplayRange]) -> Replayed:
        """Send one a range of events again, 500 a call: go on with its `next_cursor` as `cursor` until that is None."""
        path = at(_NAME, endpoint_id, "replay")
        return cast("Replayed", self._transport.post(path, asked, idempotency_key=idempotency_key))
