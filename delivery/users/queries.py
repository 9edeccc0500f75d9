"""Lists of users; they write nothing."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, or_, select

from delivery.database import reader
from delivery.users.models import User
from delivery.users.states import Role


def users(
    *,
    after: UUID | None,
    limit: int,
    role: Role | None = None,
    q: str | None = None,
    active: bool | None = None,
    verified: bool | None = None,
) -> Sequence[Row[Any]]:
    """Return users, the newest first, beginning after an id."""
    query = select(*User.__table__.columns).where(User.erased_at.is_(None))
    if role:
        query = query.where(User.role == role)
    if active is not None:
        query = query.where(User.active == active)
    if verified is not None:
        query = query.where(User.email_verified_at.is_not(None) if verified else User.email_verified_at.is_(None))
    if q:
        query = query.where(or_(User.name.icontains(q, autoescape=True), User.email.icontains(q, autoescape=True)))
    if after:
        query = query.where(User.id < after)
    return reader().execute(query.order_by(User.id.desc()).limit(limit)).all()


def exists(user_id: UUID) -> bool:
    """Tell whether there is such an account, and it is not erased."""
    query = select(User.id).where(User.id == user_id, User.erased_at.is_(None))
    return reader().execute(query).first() is not None


def by_id(user_id: UUID) -> Row[Any] | None:
    """Return a user who was not erased."""
    return _one(User.id == user_id)


def by_email(email: str) -> Row[Any] | None:
    """Return the user with this address, folded to lower case."""
    return _one(User.email == email)


def _one(condition: ColumnElement[bool]) -> Row[Any] | None:
    query = select(*User.__table__.columns).where(condition, User.erased_at.is_(None))
    return reader().execute(query).one_or_none()
