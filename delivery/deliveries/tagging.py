"""Which tags deliveries have."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, text

from delivery.database import backend, db, new_id
from delivery.deliveries.models import Tag, delivery_tags
from delivery.rows import execute, insertion

_MAKE = {name: insert.on_conflict_do_nothing() for name, insert in insertion(Tag.__table__).items()}
# One parameter for however many; [[id, name], ...].
_LINK: Mapping[str, Any] = {
    "postgresql": text(
        """
        INSERT INTO delivery_tags (delivery_id, tag_id)
        SELECT (pair.value ->> 0)::uuid, tags.id
        FROM jsonb_array_elements(CAST(:pairs AS jsonb)) AS pair JOIN tags ON tags.name = pair.value ->> 1
        """
    ),
    "sqlite": text(
        """
        INSERT INTO delivery_tags (delivery_id, tag_id)
        SELECT pair.value ->> 0, tags.id FROM json_each(:pairs) AS pair JOIN tags ON tags.name = pair.value ->> 1
        """
    ),
}


def add_tags(tags: Mapping[UUID, Sequence[str]]) -> None:
    """Give deliveries tags that they have not, making those that are new; in one order for all writers."""
    names = sorted({name for names in tags.values() for name in names})
    if not names:
        return
    execute(_MAKE, ({"id": new_id(), "name": name} for name in names))
    pairs = [(delivery_id.hex, name) for delivery_id, names in tags.items() for name in names]
    db.session.execute(_LINK[backend()], {"pairs": orjson.dumps(pairs).decode()})


def replace_tags(delivery_id: UUID, names: Sequence[str]) -> None:
    """Give a delivery these tags and no others."""
    db.session.execute(delete(delivery_tags).where(delivery_tags.c.delivery_id == delivery_id))
    add_tags({delivery_id: names})
