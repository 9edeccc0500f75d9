"""Taking people out of deliveries that are over: what a delivery was stays, whose it was does not.

Of an address, town, region and country stay: where parcels go is a fact about the deliveries. Street, postcode (in some
countries a dozen houses), coordinates and notes go. Each change is the delivery's next version, with its event; nobody
is told.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, delete, select, tuple_, update

from delivery import clock
from delivery.database import db
from delivery.deliveries import history, searching
from delivery.deliveries.models import Delivery, DeliveryEvent, DeliveryEventDetail
from delivery.web import SYSTEM

ERASED = "Erased"
_deliveries, _events, _details = Delivery.__table__, DeliveryEvent.__table__, DeliveryEventDetail.__table__
_KEPT = ("city", "region", "country")
Forgotten = Callable[[Row[Any]], dict[str, Any]]


def recipient_forgotten(row: Row[Any]) -> dict[str, Any]:
    """Return what a delivery says when nothing is known about its recipient; a description may name them."""
    nobody = {"recipient_name": ERASED, "recipient_email": None, "recipient_phone": None, "recipient_locale": "en"}
    return {**nobody, "destination": _town(row.destination), "description": None}


def sender_forgotten(row: Row[Any]) -> dict[str, Any]:
    """Return what a delivery says when nothing is known about its owner; one that was deleted has no use for more."""
    nobody = {"pickup": row.pickup and _town(row.pickup), "description": None}
    return nobody | (recipient_forgotten(row) if row.deleted_at else {})


def forget_people(rows: Sequence[Row[Any]], forgotten: Forgotten, *, reason_code: str) -> int:
    """Take people out of deliveries that the caller has locked, and all free text out of their history.

    Returns how many changed: one in which nobody is left stays as it is.
    """
    changed = [row for row in rows if _change(row, forgotten(row), reason_code=reason_code)]
    db.session.execute(delete(_details).where(_details.c.delivery_id.in_([row.id for row in rows])))
    if changed:
        searching.forget_deleted()
    return len(changed)


def forget_words(actor_id: UUID, *, limit: int) -> int:
    """Delete up to `limit` notes and positions of the events that somebody caused; returns how many there were."""
    same = and_(_details.c.delivery_id == _events.c.delivery_id, _details.c.seq == _events.c.seq)
    written = select(_details.c.delivery_id, _details.c.seq).join_from(_events, _details, same)
    oldest = written.where(_events.c.actor_id == actor_id).order_by(_details.c.delivery_id, _details.c.seq)
    doomed = oldest.limit(limit).cte("doomed")
    mine = tuple_(_details.c.delivery_id, _details.c.seq).in_(select(doomed))
    return len(db.session.execute(delete(_details).where(mine).returning(_details.c.seq)).all())


def _town(address: dict[str, Any]) -> dict[str, Any]:
    return {"line1": ERASED, **{name: address[name] for name in _KEPT if name in address}}


def _change(row: Row[Any], values: dict[str, Any], *, reason_code: str) -> bool:
    if all(getattr(row, name) == value for name, value in values.items()):
        return False
    seq = row.version + 1
    statement = update(_deliveries).where(_deliveries.c.id == row.id, _deliveries.c.version == row.version)
    db.session.execute(statement.values(**values, version=seq, updated_at=clock.now()))
    same = {"from_state": row.status, "to_state": row.status}
    history.append(row.id, seq=seq, kind="edited", **same, by=SYSTEM, reason_code=reason_code)
    return True
