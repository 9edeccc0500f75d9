"""The only way a route reaches a user: yourself, or anybody if you are an admin."""

from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.sql.expression import bindparam

from delivery.database import reader
from delivery.errors import NotFound
from delivery.users.models import User
from delivery.users.states import Part, Role
from delivery.web import Caller

_BY_ID = select(*User.__table__.columns).where(User.id == bindparam("id"), User.erased_at.is_(None))


def parts_of(caller: Caller, user_id: UUID | None) -> frozenset[Part]:
    """Return what a caller is to an account."""
    parts = set()
    if caller.id == user_id:
        parts.add(Part.SELF)
    if caller.role == Role.ADMIN:
        parts.add(Part.ADMIN)
    return frozenset(parts)


def user_for(caller: Caller, user_id: UUID | None, may: frozenset[str]) -> Row[tuple[object, ...]]:
    """Return the columns of a user to whom the caller is one of `may`.

    Raises:
        NotFound: nobody has this id, or it is not the caller's business.
    """
    theirs = parts_of(caller, user_id) & may
    row = reader().execute(_BY_ID, {"id": user_id}).one_or_none() if theirs else None
    if row is None:
        raise NotFound
    return row
