"""The only way a route reaches a user: yourself, or anybody if you are an admin."""

from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.sql.expression import bindparam

from delivery.database import reader
from delivery.errors import NotFound
from delivery.users.models import User
from delivery.users.states import Role
from delivery.web import Caller

_BY_ID = select(*User.__table__.columns).where(User.id == bindparam("id"), User.erased_at.is_(None))


def user_for(caller: Caller, user_id: UUID | None, _action: str) -> Row[tuple[object, ...]]:
    """Return the columns of a user whom the caller may read and change.

    Raises:
        NotFound: nobody has this id, or it is not the caller's business.
    """
    if caller.role != Role.ADMIN and caller.id != user_id:
        raise NotFound
    row = reader().execute(_BY_ID, {"id": user_id}).one_or_none()
    if row is None:
        raise NotFound
    return row
