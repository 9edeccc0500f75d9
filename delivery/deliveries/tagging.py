"""Which tags a delivery has."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Uuid, delete, literal, select

from delivery.database import db, new_id, upsert
from delivery.deliveries.models import Tag, delivery_tags


def add_tags(delivery_id: UUID, names: Sequence[str]) -> None:
    """Give a delivery tags that it has not, making those that are new; two statements, in one order for all writers."""
    if not names:
        return
    new = [{"id": new_id(), "name": name} for name in sorted(names)]
    db.session.execute(upsert(Tag.__table__).values(new).on_conflict_do_nothing())
    wanted = select(literal(delivery_id, Uuid()), Tag.id).where(Tag.name.in_(names))
    db.session.execute(upsert(delivery_tags).from_select(["delivery_id", "tag_id"], wanted))


def replace_tags(delivery_id: UUID, names: Sequence[str]) -> None:
    """Give a delivery these tags and no others."""
    db.session.execute(delete(delivery_tags).where(delivery_tags.c.delivery_id == delivery_id))
    add_tags(delivery_id, names)
