"""Reads a file of marketplace orders and decides which delivery, and which moves, each order becomes."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any

TIME_FORMAT = "%m/%d/%Y %H:%M"
RECIPIENT_DOMAIN = "recipients.example"
# A delivery needs one and the file has none.
DESTINATION = {"line1": "Not in the file", "city": "Not in the file", "country": "BR"}

PURCHASED = "order_purchase_timestamp"
APPROVED = "order_approved_at"
HANDED_OVER = "order_delivered_carrier_date"
DELIVERED = "order_delivered_customer_date"
PROMISED = "order_estimated_delivery_date"

# A move is (state, the column that gives its time). Where the file has one time for two moves, both carry it.
ON_THE_WAY = (("assigned", APPROVED), ("picked_up", HANDED_OVER), ("in_transit", HANDED_OVER))
TO_THE_DOOR = (*ON_THE_WAY, ("out_for_delivery", DELIVERED))
WAITING_STATUSES = frozenset({"created", "approved", "processing", "invoiced"})


@dataclass(frozen=True)
class Move:
    """One transition as it will be sent."""

    to: str
    occurred_at: str
    reason_code: str | None = None


@dataclass(frozen=True)
class Order:
    """One row of the file: the delivery it becomes and the moves of its life after creation."""

    reference: str
    file_status: str
    delivery: dict[str, Any]
    moves: tuple[Move, ...]

    @property
    def states(self) -> list[str]:
        return ["pending", *(move.to for move in self.moves)]

    @property
    def recipient(self) -> str:
        return str(self.delivery["recipient"]["email"])


def read_orders(path: Path, *, zone: tzinfo, limit: int | None = None) -> Iterator[Order]:
    """Yield the file's orders in its own order; ValueError names the line that cannot be read."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(islice(csv.DictReader(file), limit), start=2):
            try:
                yield _order(row, zone=zone)
            except (KeyError, ValueError) as error:
                raise ValueError(f"{path.name}, line {number}: {error}") from error


def _order(row: dict[str, str], *, zone: tzinfo) -> Order:
    times = {
        column: _time(row[column], zone=zone) for column in (PURCHASED, APPROVED, HANDED_OVER, DELIVERED, PROMISED)
    }
    return Order(
        reference=row["order_id"],
        file_status=row["order_status"],
        delivery=_delivery(row, times=times),
        moves=tuple(_moves(row["order_status"], times=times)),
    )


def _time(text: str, *, zone: tzinfo) -> str | None:
    """Turn the file's local wall time into RFC 3339 in UTC; an empty field is None."""
    if not text.strip():
        return None
    local = datetime.strptime(text.strip(), TIME_FORMAT).replace(tzinfo=zone)
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _delivery(row: dict[str, str], *, times: dict[str, str | None]) -> dict[str, Any]:
    """The body of POST /api/deliveries; no phone number, so that no SMS is due."""
    purchased = times[PURCHASED]
    if purchased is None:
        raise ValueError("an order without a purchase time")
    body: dict[str, Any] = {
        "item_name": f"Order {row['order_id'][:8]}",
        "description": f"Purchased {purchased}",
        "reference": row["order_id"],
        "recipient": {
            "name": f"Customer {row['customer_id'][:8]}",
            "email": f"{row['customer_id']}@{RECIPIENT_DOMAIN}",
        },
        "destination": DESTINATION,
        "tags": [f"purchased-{purchased[:7]}"],
    }
    if times[PROMISED]:
        body["window"] = {"latest": times[PROMISED]}
    return body


def _moves(status: str, *, times: dict[str, str | None]) -> Iterator[Move]:
    """Yield the moves; one whose time is missing carries the time of the step before it."""
    last_known = times[PURCHASED]
    for to, column, reason_code in _life(status, times=times):
        last_known = (times[column] if column else None) or last_known
        yield Move(to=to, occurred_at=str(last_known), reason_code=reason_code)


def _life(status: str, *, times: dict[str, str | None]) -> list[tuple[str, str | None, str | None]]:
    """Say (state, time column, reason code) for each move; docs/trial.md gives the reasons."""
    if status in WAITING_STATUSES:
        return []
    if status == "delivered":
        return [*_plain(TO_THE_DOOR), ("delivered", DELIVERED, None)]
    if status == "shipped":
        return _plain(ON_THE_WAY)
    if status == "unavailable":
        return [("cancelled", APPROVED, "item_unavailable")]
    if status == "canceled":
        return _cancelled(times)
    raise ValueError(f"unknown order_status {status!r}")


def _cancelled(times: dict[str, str | None]) -> list[tuple[str, str | None, str | None]]:
    """Before the hand-over nothing has to come back; after it the parcel does."""
    if not times[HANDED_OVER] and not times[DELIVERED]:
        return [("cancelled", APPROVED, "order_cancelled")]
    way = TO_THE_DOOR if times[DELIVERED] else ON_THE_WAY
    return [*_plain(way), ("returning", None, "order_cancelled"), ("returned", None, "order_cancelled")]


def _plain(way: tuple[tuple[str, str], ...]) -> list[tuple[str, str | None, str | None]]:
    return [(to, column, None) for to, column in way]
