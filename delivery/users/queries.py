"""Lists of users; they write nothing."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, or_, select

from delivery.database import reader
from delivery.users.models import User
from delivery.users.states import Role


def users(*, role: Role | None, q: str | None, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return users, the newest first, beginning after an id."""
    query = select(*User.__table__.columns).where(User.erased_at.is_(None))
    if role:
        query = query.where(User.role == role)
    if q:
        query = query.where(or_(User.name.icontains(q, autoescape=True), User.email.icontains(q, autoescape=True)))
    if after:
        query = query.where(User.id < after)
    return reader().execute(query.order_by(User.id.desc()).limit(limit)).all()


def exists(user_id: UUID) -> bool:
    """Tell whether there is such an account, and it is not erased."""
    query = select(User.id).where(User.id == user_id, User.erased_at.is_(None))
    return reader().execute(query).first() is not None
