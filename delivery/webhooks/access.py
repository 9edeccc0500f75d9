"""The only way to an endpoint, and to what was sent to one: they are their owner's, and nobody else's."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row

from delivery.database import reader
from delivery.errors import NotFound
from delivery.users.states import Part
from delivery.web import Caller
from delivery.webhooks.queries import ENDPOINT_BY_ID, MESSAGE_BY_ID


def endpoint_for(caller: Caller, endpoint_id: UUID, may: frozenset[str]) -> Row[Any]:
    """Return an endpoint's columns to its owner.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
    """
    return _owned(reader().execute(ENDPOINT_BY_ID, {"id": endpoint_id}).one_or_none(), caller, may)


def webhook_for(caller: Caller, message_id: UUID, may: frozenset[str]) -> Row[Any]:
    """Return what was sent, or is to be sent, to an endpoint, to the endpoint's owner.

    Raises:
        NotFound: there is no such webhook, or it is somebody else's.
    """
    return _owned(reader().execute(MESSAGE_BY_ID, {"id": message_id}).one_or_none(), caller, may)


def _owned(row: Row[Any] | None, caller: Caller, may: frozenset[str]) -> Row[Any]:
    theirs = row is not None and row.owner_id == caller.id and caller.shares_mode_of(row)
    parts = {Part.SELF} if theirs else set()
    if row is None or not parts & may:
        raise NotFound
    return row
