"""Reads about sessions and API keys; they write nothing."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, func, or_, select
from sqlalchemy.sql.expression import bindparam

from delivery.auth.models import ApiKey, AuthSession, RefreshToken
from delivery.database import now, reader
from delivery.users.models import User

_sessions, _tokens, _users = AuthSession.__table__, RefreshToken.__table__, User.__table__
UNENDED = (_sessions.c.revoked_at.is_(None), _sessions.c.expires_at > now())
# A session that may be refreshed: what an access token must be, too, and nothing has ended all sessions since.
LIVE = (
    select(_sessions.c.id, _sessions.c.expires_at)
    .join(_users, _users.c.id == _sessions.c.user_id)
    .where(*UNENDED, _users.c.active, _users.c.epoch == _sessions.c.epoch)
)
_USED = _tokens.c.used_at.is_not(None).label("used")
_LASTING: list[Any] = [_sessions.c.id, _sessions.c.user_id, _sessions.c.epoch, _sessions.c.created_at]
LIVE_KEY = and_(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()))
_KEY_COLUMNS = [column for column in ApiKey.__table__.c if column.name != "hash"]
KEY_BY_ID = select(*_KEY_COLUMNS).where(ApiKey.id == bindparam("id"))


def family(token_hash: bytes) -> Row[Any] | None:
    """Return what never changes of the session that a refresh token belongs to, dead or alive; and was it `used`."""
    query: Select[Any] = select(*_LASTING, _USED).join(_tokens, _tokens.c.session_id == _sessions.c.id)
    return reader().execute(query.where(_tokens.c.hash == token_hash)).one_or_none()


def sessions(*, user_id: UUID | None, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return somebody's sessions that have not ended, the newest first, beginning after an id."""
    used = func.coalesce(_sessions.c.refreshed_at, _sessions.c.created_at).label("last_used_at")
    query = select(*_sessions.c).add_columns(used).where(_sessions.c.user_id == user_id, *UNENDED)
    if after:
        query = query.where(_sessions.c.id < after)
    return reader().execute(query.order_by(_sessions.c.id.desc()).limit(limit)).all()


def keys(user_id: UUID | None, *, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return a user's keys, dead ones too, the newest first, beginning after an id."""
    query = select(*_KEY_COLUMNS).where(ApiKey.user_id == user_id)
    if after:
        query = query.where(ApiKey.id < after)
    return reader().execute(query.order_by(ApiKey.id.desc()).limit(limit)).all()
