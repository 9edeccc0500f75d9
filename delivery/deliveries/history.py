"""Appending to a delivery's history."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from delivery import clock, logs
from delivery.database import db
from delivery.deliveries.models import DeliveryEvent, DeliveryEventDetail
from delivery.web import Caller

_APPEND = insert(DeliveryEvent.__table__)
_DETAILS = ("note", "public_note", "lat", "lng")


def append(
    delivery_id: UUID,
    *,
    seq: int,
    kind: str,
    from_state: str | None,
    to_state: str,
    by: Caller,
    occurred_at: datetime | None = None,
    reason_code: str | None = None,
    **details: Any,
) -> None:
    """Append one event; free text and position go beside it, where erasure can reach them.

    Args:
        seq: the delivery's version after the change; the database refuses a gap.
        details: any of note, public_note, lat, lng.
    """
    now = clock.now()
    event = {
        "delivery_id": delivery_id,
        "seq": seq,
        "kind": kind,
        "from_state": from_state,
        "to_state": to_state,
        "reason_code": reason_code,
        "actor_type": by.kind,
        "actor_id": by.id,
        "request_id": logs.current_request_id(),
        "occurred_at": occurred_at or now,
        "recorded_at": now,
    }
    db.session.execute(_APPEND, event)
    given = {name: details.get(name) for name in _DETAILS}
    if any(value is not None for value in given.values()):
        db.session.execute(insert(DeliveryEventDetail.__table__), {"delivery_id": delivery_id, "seq": seq, **given})
