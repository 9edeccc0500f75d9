"""/api/webhook-deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from delivery_client.transport import at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from delivery_client.transport import Transport
    from delivery_client.webhook_types import (
        Redelivered,
        WebhookDelivery,
        WebhookDeliveryFilters,
        WebhookDeliveryWithAttempts,
    )

_NAME = "webhook-deliveries"


class WebhookDeliveries:
    """What was sent to your endpoints, and what they answered."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **filters: Unpack[WebhookDeliveryFilters]) -> Iterator[WebhookDelivery]:
        """Go through the webhooks to your endpoints, the newest first."""
        return self._transport.pages(at(_NAME), **filters)

    def get(self, webhook_id: str) -> WebhookDeliveryWithAttempts:
        """Read one: the bytes that are signed, and each attempt."""
        return cast("WebhookDeliveryWithAttempts", self._transport.get(at(_NAME, webhook_id)))

    def redeliver(self, webhook_id: str, *, idempotency_key: str | None = None) -> Redelivered:
        """Send one again; Conflict (`on_its_way`, `not_active` and others) where that cannot be."""
        path = at(_NAME, webhook_id, "redeliver")
        return cast("Redelivered", self._transport.post(path, idempotency_key=idempotency_key))
