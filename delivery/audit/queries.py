"""Pages of the audit log; they write nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from delivery.audit.models import AuditEntry
from delivery.database import reader


def entries(
    *,
    before: int | None,
    limit: int,
    act: str | None = None,
    actor_id: UUID | None = None,
    object_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Sequence[Row[Any]]:
    """Return entries, the newest first, beginning before a seq; `act` may end in `*`."""
    query = select(*AuditEntry.__table__.columns)
    if act:
        query = query.where(
            AuditEntry.act.startswith(act[:-1], autoescape=True) if act.endswith("*") else AuditEntry.act == act
        )
    for column, value in ((AuditEntry.actor_id, actor_id), (AuditEntry.object_id, object_id)):
        if value:
            query = query.where(column == value)
    if since:
        query = query.where(AuditEntry.at >= since)
    if until:
        query = query.where(AuditEntry.at < until)
    if before:
        query = query.where(AuditEntry.seq < before)
    return reader().execute(query.order_by(AuditEntry.seq.desc()).limit(limit)).all()
