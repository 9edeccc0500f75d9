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


def check_role_given(caller: Caller | None, role: Role | None, *, to_new: bool) -> None:
    """Let no API key give a role but the least to somebody new: with a stolen one, anybody could become an admin.

    Raises:
        Forbidden: a key would; only a person may.
    """
    by_key = caller is not None and caller.kind == "api_key"
    if by_key and role is not None and not (to_new and role == Role.CUSTOMER):
        raise Forbidden("No API key may give a role; sign in.", code="insufficient_scope")


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
