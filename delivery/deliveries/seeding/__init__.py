"""Believable deliveries with a legal history, written by the hundred; nobody is told about them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from delivery.database import backend, db, new_id
from delivery.deliveries.models import Delivery, DeliveryEvent, DeliveryEventDetail, Tag, delivery_tags
from delivery.deliveries.seeding.rows import Rows, invent

__all__ = ["Rows", "add", "invent"]


def add(batch: Sequence[Rows]) -> None:
    """Write deliveries with their histories and tags, a statement a table, in the caller's transaction.

    No fact is published: these things never happened. The database checks the histories all the same.
    """
    ids = _tag_ids(sorted({name for rows in batch for name in rows.tags}))
    pairs = [{"delivery_id": rows.delivery["id"], "tag_id": ids[name]} for rows in batch for name in rows.tags]
    _insert(Delivery.__table__, [rows.delivery for rows in batch])
    _insert(DeliveryEvent.__table__, [event for rows in batch for event in rows.events])
    _insert(DeliveryEventDetail.__table__, [detail for rows in batch for detail in rows.details])
    _insert(delivery_tags, pairs)


def _insert(table: Any, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        db.session.execute(insert(table), rows)


def _tag_ids(names: Sequence[str]) -> dict[str, Any]:
    if not names:
        return {}
    upsert = (sqlite_insert if backend() == "sqlite" else postgresql_insert)(Tag)
    new = [{"id": new_id(), "name": name} for name in names]
    db.session.execute(upsert.values(new).on_conflict_do_nothing())
    return dict(db.session.execute(select(Tag.name, Tag.id).where(Tag.name.in_(names))).all())
