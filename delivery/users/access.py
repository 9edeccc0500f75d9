"""The only way a route reaches a user: yourself, or anybody if you are an admin."""

from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.sql.expression import bindparam

from delivery.database import reader
from delivery.errors import Forbidden, NotFound
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
        Forbidden: it is, but not like this.
    """
    parts = parts_of(caller, user_id)
    row = reader().execute(_BY_ID, {"id": user_id}).one_or_none() if parts else None
    if row is None:
        raise NotFound
    if not parts & may:
        raise Forbidden("You may see this account, but not do this to it.")
    return row
