"""Keyset pages: opaque signed cursors, a whitelisted sort, a bounded limit."""

from functools import cache
from typing import Any
from uuid import UUID

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer
from marshmallow import fields, validate

from delivery.errors import Malformed
from delivery.web.schema import Schema, Whole

LARGEST_PAGE = 100


class PageArgs(Schema):
    limit = Whole(1, LARGEST_PAGE, strict=False, load_default=20)
    cursor = fields.String(load_default=None, validate=validate.Length(max=1000))


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
