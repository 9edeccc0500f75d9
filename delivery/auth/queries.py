"""API keys as they are shown, and which of them work; nothing here writes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, or_, select
from sqlalchemy.sql.expression import bindparam

from delivery.auth.models import ApiKey
from delivery.database import now, reader

LIVE = and_(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()))
_COLUMNS = [column for column in ApiKey.__table__.c if column.name != "hash"]
KEY_BY_ID = select(*_COLUMNS).where(ApiKey.id == bindparam("id"))


def keys(user_id: UUID | None, *, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return a user's keys, dead ones too, the newest first, beginning after an id."""
    query = select(*_COLUMNS).where(ApiKey.user_id == user_id)
    if after:
        query = query.where(ApiKey.id < after)
    return reader().execute(query.order_by(ApiKey.id.desc()).limit(limit)).all()
