"""Where a replay goes on: its position as a cursor."""

from datetime import datetime
from typing import Any
from uuid import UUID

from delivery.web.paging import read_cursor, write_cursor

_REPLAY = "replay"


def write_position(position: tuple[Any, ...] | None) -> str | None:
    """Return the cursor of an event's place in a range; None: the range is done."""
    return None if position is None else write_cursor(_REPLAY, position[0].isoformat(), *position[1:])


def read_position(cursor: str | None) -> tuple[Any, ...] | None:
    """Return what a cursor holds.

    Raises:
        Malformed: it is not one of ours.
    """
    if not cursor:
        return None
    at, delivery_id, seq = read_cursor(cursor, sort=_REPLAY)
    return datetime.fromisoformat(at), UUID(delivery_id), int(seq)
