"""/api/deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from delivery_client.transport import at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from delivery_client.transport import Transport
    from delivery_client.types import (
        Delivery,
        DeliveryChanges,
        DeliveryEvent,
        DeliveryFilters,
        Move,
        NewDelivery,
        Notification,
        NotificationFilters,
        State,
        Versioned,
    )

_NAME = "deliveries"


class Deliveries:
    """Deliveries, from order to doorstep."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, *, idempotency_key: str | None = None, **delivery: Unpack[NewDelivery]) -> Delivery:
        """Create a delivery; give a key of your own (an order's number) where the program itself may be repeated."""
        return cast("Delivery", self._transport.post(at(_NAME), delivery, idempotency_key=idempotency_key))

    def get(self, delivery_id: str) -> Delivery:
        """Read a delivery."""
        return cast("Delivery", self._transport.get(at(_NAME, delivery_id)))

    def list(self, **filters: Unpack[DeliveryFilters]) -> Iterator[Delivery]:
        """Go through the deliveries that you may see; `limit` is how many are asked for at a time."""
        return self._transport.pages(at(_NAME), **filters)

    def edit(
        self, seen: Versioned, *, idempotency_key: str | None = None, **changes: Unpack[DeliveryChanges]
    ) -> Delivery:
        """Change what a delivery says; StaleVersion where it has changed since it was `seen`."""
        path = at(_NAME, seen["id"])
        return cast("Delivery", self._transport.patch(path, seen, changes, idempotency_key=idempotency_key))

    def move(
        self, delivery_id: str, to: State, *, idempotency_key: str | None = None, **words: Unpack[Move]
    ) -> Delivery:
        """Move a delivery to another state; `allowed_transitions` says where it may go."""
        path = at(_NAME, delivery_id, "transitions")
        return cast("Delivery", self._transport.post(path, {"to": to, **words}, idempotency_key=idempotency_key))

    def delete(self, seen: Versioned) -> None:
        """Delete a delivery that nobody has picked up; StaleVersion where it has changed since it was `seen`."""
        self._transport.delete(at(_NAME, seen["id"]), seen)

    def events(self, delivery_id: str, *, limit: int = 100) -> Iterator[DeliveryEvent]:
        """Go through a delivery's history, the oldest event first."""
        return self._transport.pages(at(_NAME, delivery_id, "events"), limit=limit)

    def notifications(self, delivery_id: str, **filters: Unpack[NotificationFilters]) -> Iterator[Notification]:
        """Go through the messages about a delivery, the newest first."""
        return self._transport.pages(at(_NAME, delivery_id, "notifications"), **filters)
