"""Appending to the history of deliveries."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from delivery import clock, logs
from delivery.deliveries.models import DeliveryEvent, DeliveryEventDetail
from delivery.rows import execute, insertion
from delivery.web import Caller

_APPEND = insertion(DeliveryEvent.__table__)
_APPEND_DETAILS = insertion(DeliveryEventDetail.__table__)
_DETAILS = ("note", "public_note", "lat", "lng")
Entry = tuple[dict[str, Any], dict[str, Any] | None]


def append(delivery_id: UUID, **event: Any) -> None:
    """Append one event; entry() says of what."""
    append_all([entry(delivery_id, **event)])


def append_all(entries: Iterable[Entry]) -> None:
    """Append events of many deliveries in one statement; free text and positions in another."""
    events, details = [], []
    for event, detail in entries:
        events.append(event)
        if detail:
            details.append(detail)
    if events:
        execute(_APPEND, events)
    if details:
        execute(_APPEND_DETAILS, details)


def entry(
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
) -> Entry:
    """Return one event, and what goes beside it: free text and position, where erasure can reach them.

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
    given = {name: details.get(name) for name in _DETAILS}
    if all(value is None for value in given.values()):
        return event, None
    return event, {"delivery_id": delivery_id, "seq": seq, **given}
