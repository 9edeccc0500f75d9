"""What can happen to a delivery, as facts; each is about one row of its history."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class _Fact:
    delivery_id: UUID
    seq: int
    status: str
    owner_id: UUID
    recipient_locale: str
    recipient_has_email: bool
    recipient_has_phone: bool
    # What the delivery and its owner have switched on or off over the defaults.
    switches: Mapping[str, Any]
    owner_switches: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeliveryCreated(_Fact):
    # Whether people are told nothing of it; programs are.
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryMoved(_Fact):
    from_status: str


@dataclass(frozen=True, slots=True)
class DeliveryEdited(_Fact):
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryDeleted(_Fact):
    pass


def told_of(row: Any) -> dict[str, Any]:
    """Return what every fact says of a delivery; `row` has its columns and `owner_switches`."""
    return {
        "delivery_id": row.id,
        "seq": row.version,
        "status": row.status,
        "owner_id": row.owner_id,
        "recipient_locale": row.recipient_locale,
        "recipient_has_email": row.recipient_email is not None,
        "recipient_has_phone": row.recipient_phone is not None,
        "switches": row.notifications or {},
        "owner_switches": row.owner_switches or {},
    }
