"""Keyset pages: opaque signed cursors, a whitelisted sort, a bounded limit."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer
from marshmallow import Schema as MarshmallowSchema
from marshmallow import fields, validate

from delivery.errors import Malformed
from delivery.web.schema import Schema, Text, Whole, Word

LARGEST_PAGE, LONGEST_CURSOR = 100, 1000


class PageArgs(Schema):
    limit = Whole(1, LARGEST_PAGE, strict=False, load_default=20)
    cursor = Text(LONGEST_CURSOR, load_default=None, metadata={"description": "`next_cursor` of the page before."})


def page_of(schema: type[MarshmallowSchema], *, name: str | None = None) -> type[MarshmallowSchema]:
    """Return the shape of a page of what `schema` documents: DeliveryOut's is DeliveryPage."""
    full = validate.Length(max=LARGEST_PAGE)
    more = {"description": "Ask for the next page with it; null: this is the last."}
    items = fields.List(fields.Nested(schema), required=True, validate=full)
    page: dict[str, fields.Field[Any]] = {
        "items": items,
        "next_cursor": Word(LONGEST_CURSOR, required=True, allow_none=True, metadata=more),
    }
    return Schema.from_dict(page, name=name or f"{schema.__name__.removesuffix('Out')}Page")


def page_from(
    rows: Sequence[Any],
    *,
    limit: int,
    shown: Callable[[Any], dict[str, Any]],
    sort: str = "-id",
    position: Callable[[Any], Sequence[Any]] = lambda row: (row.id,),
) -> dict[str, Any]:
    """Return a page of what was found.

    Args:
        rows: one more than `limit` where there is another page.
        shown: what an answer shows of a row.
        position: where a row stands in the order `sort`.
    """
    here = rows[:limit]
    more = write_cursor(sort, *position(here[-1])) if len(rows) > limit else None
    return {"items": [shown(row) for row in here], "next_cursor": more}


def write_cursor(sort: str, *position: Any) -> str:
    """Return the cursor of the row at `position` in this order."""
    return str(_serializer().dumps([sort, *map(str, position)]))


def read_cursor(cursor: str, *, sort: str) -> list[str]:
    """Return the position that a cursor holds.

    Raises:
        Malformed: it is not one of ours, or belongs to another order.
    """
    try:
        written_for, *position = _serializer().loads(cursor)
    except (BadData, ValueError):
        raise Malformed("The cursor is not one that this list gave out.", code="bad_cursor") from None
    if written_for != sort:
        raise Malformed("The cursor belongs to another sort order.", code="bad_cursor")
    return list(position)


def uuid_position(cursor: str | None, *, sort: str) -> UUID | None:
    """Return the id after which a page ordered by id begins."""
    return UUID(read_cursor(cursor, sort=sort)[0]) if cursor else None


def _serializer() -> URLSafeSerializer:
    return _signed_by(current_app.config["SECRET_KEY"])


@cache
def _signed_by(key: str) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="cursor")
