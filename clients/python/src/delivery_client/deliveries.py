"""/api/deliveries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from delivery_client.transport import at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Unpack

    from delivery_client.bulk_types import CreatedItems, LabelSize, MovedItems, MoveItem, MoveOfAll
    from delivery_client.transport import Transport
    from delivery_client.types import (
        Delivery,
        DeliveryChanges,
        DeliveryEvent,
        DeliveryFilters,
        ExportFilters,
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

    def create_many(
        self, deliveries: Iterable[NewDelivery], *, atomic: bool = False, idempotency_key: str | None = None
    ) -> CreatedItems:
        """Create up to 1,000 deliveries, with an outcome for each; with `atomic`, Invalid if one is wrong."""
        body = {"items": [*deliveries], "atomic": atomic}
        made = self._transport.post(at(_NAME, "bulk"), body, idempotency_key=idempotency_key)
        return cast("CreatedItems", made)

    def move_many(
        self,
        moves: Iterable[MoveItem],
        *,
        dry_run: bool = False,
        idempotency_key: str | None = None,
        **for_all: Unpack[MoveOfAll],
    ) -> MovedItems:
        """Move up to 500 deliveries, with an outcome for each; `for_all` holds where a move does not say otherwise."""
        body = {**for_all, "items": [*moves], "dry_run": dry_run}
        moved = self._transport.post(at(_NAME, "transitions"), body, idempotency_key=idempotency_key)
        return cast("MovedItems", moved)

    def label(self, delivery_id: str, *, size: LabelSize = "a6") -> bytes:
        """Read a delivery's label, a PDF."""
        return self._transport.file("GET", at(_NAME, delivery_id, "label"), size=size)

    def labels(self, delivery_ids: Iterable[str], *, size: LabelSize = "a6") -> bytes:
        """Read the labels of up to 100 deliveries in one PDF; Invalid where one of them is not yours to see."""
        body = {"ids": [*delivery_ids], "size": size}
        return self._transport.file("POST", at(_NAME, "labels"), body=body)

    def export(self, **filters: Unpack[ExportFilters]) -> Iterator[bytes]:
        """Go through a list as CSV, in pieces as they come; Unreachable where it broke off and is not whole."""
        return self._transport.stream(at(_NAME, "export.csv"), **filters)

    def save_export(self, path: str | os.PathLike[str], **filters: Unpack[ExportFilters]) -> None:
        """Save a list as a CSV file, which has its name once it is whole."""
        part = Path(f"{os.fspath(path)}.part")
        try:
            with part.open("wb") as file:
                file.writelines(self.export(**filters))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
