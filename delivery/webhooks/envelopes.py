"""What an event says to programs: the same words by webhook and in the feed, thin and without a person in it."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement

from delivery import clock
from delivery.deliveries.models import Delivery, DeliveryEvent
from delivery.web import dump_json
from delivery.webhooks.states import TEST, VERIFY, type_of

_events, _deliveries = DeliveryEvent.__table__.c, Delivery.__table__.c
# What an envelope is made of; of the delivery only what never tells of a person.
COLUMNS: tuple[ColumnElement[Any], ...] = (
    _events.delivery_id, _events.seq, _events.kind, _events.from_state, _events.to_state, _events.reason_code,
    _events.occurred_at, _events.recorded_at, _deliveries.tracking_number, _deliveries.reference,
)  # fmt: skip


def event_type(row: Any) -> str:
    """Return the type of an event; `row` has COLUMNS."""
    return type_of(kind=row.kind, seq=row.seq, to_state=row.to_state, reason_code=row.reason_code)


def envelope(row: Any) -> dict[str, Any]:
    """Return what an event says; `row` has COLUMNS."""
    return _envelope(
        event_type(row),
        at=row.recorded_at,
        delivery_id=row.delivery_id,
        tracking_number=row.tracking_number,
        reference=row.reference,
        status=row.to_state,
        previous_status=row.from_state,
        sequence=row.seq,
        occurred_at=row.occurred_at,
    )


def challenge(text: str) -> dict[str, Any]:
    """Return what asks an endpoint to prove that it is meant."""
    return _envelope(VERIFY, at=clock.now(), challenge=text)


def test(endpoint_id: Any) -> dict[str, Any]:
    """Return what only says that it arrived."""
    return _envelope(TEST, at=clock.now(), endpoint_id=endpoint_id)


def frozen(body: dict[str, Any]) -> str:
    """Return the bytes of an envelope, as text: what is signed is what is sent."""
    return dump_json(body).decode()


def _envelope(name: str, *, at: datetime, **data: Any) -> dict[str, Any]:
    return {"type": name, "timestamp": at, "data": data}
