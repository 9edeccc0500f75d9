"""The only way to an import or a template: an import is its maker's and its owner's, a template its owner's."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row

from delivery.database import reader
from delivery.errors import NotFound
from delivery.imports.queries import IMPORT_BY_ID, TEMPLATE_BY_ID
from delivery.users.states import Part
from delivery.web import Caller


def import_for(caller: Caller, import_id: UUID, may: frozenset[str]) -> Row[Any]:
    """Return an import's columns to whoever made it, or has its deliveries.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
    """
    row = reader().execute(IMPORT_BY_ID, {"id": import_id}).one_or_none()
    if row is None or Part.SELF not in may or caller.id not in {row.created_by, row.owner_id}:
        raise NotFound
    return row


def template_for(caller: Caller, template_id: UUID, may: frozenset[str]) -> Row[Any]:
    """Return a template's columns to its owner.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
    """
    row = reader().execute(TEMPLATE_BY_ID, {"id": template_id}).one_or_none()
    if row is None or Part.SELF not in may or caller.id != row.owner_id:
        raise NotFound
    return row
