"""Believable deliveries with a legal history, written by the hundred; nobody is told about them."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import insert, select

from delivery.database import backend, db, new_id, upsert
from delivery.deliveries.models import Delivery, DeliveryEvent, DeliveryEventDetail, Tag, delivery_tags
from delivery.deliveries.seeding.goods import TAGS
from delivery.deliveries.seeding.rows import Rows, invent
from delivery.deliveries.states import State

__all__ = ["Rows", "add", "invent"]


def add(batch: Sequence[Rows]) -> None:
    """Write deliveries with their histories and tags, a statement a table, in the caller's transaction.

    No fact is published: these things never happened. The database checks the histories all the same.
    """
    ids = _tag_ids()
    pairs = [{"delivery_id": rows.delivery["id"], "tag_id": ids[name]} for rows in batch for name in rows.tags]
    _insert(Delivery.__table__, [rows.delivery for rows in batch])
    _insert(DeliveryEvent.__table__, [event for rows in batch for event in rows.events])
    _insert(DeliveryEventDetail.__table__, [detail for rows in batch for detail in rows.details])
    _insert(delivery_tags, pairs)


def _insert(table: Any, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    if backend() == "sqlite":
        db.session.execute(insert(table), rows)
        return
    # COPY, because it takes a quarter of the time of INSERTs. SQLAlchemy has no word for it.
    names, cursor = list(rows[0]), _cursor()
    with cursor, cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([_plain(row[name]) for name in names])


def _cursor() -> Any:
    """Return the driver's own cursor, inside the same transaction."""
    return db.session.connection().connection.cursor()


def _plain(value: Any) -> Any:
    """Return a value as COPY wants it: JSON as text, a state as its name."""
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return str(value) if isinstance(value, State) else value


def _tag_ids() -> dict[str, Any]:
    new = [{"id": new_id(), "name": name} for name in TAGS]
    db.session.execute(upsert(Tag).values(new).on_conflict_do_nothing())
    return dict(db.session.execute(select(Tag.name, Tag.id).where(Tag.name.in_(TAGS))).all())
