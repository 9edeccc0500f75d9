"""The audit log's table: append-only (triggers refuse the rest), each entry bound to the one before by its hash."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json

_HASH = LargeBinary(32)  # SHA-256


class AuditEntry(Base):
    """One act. It holds ids, names of fields and keyed hashes, never what a person is called or where they live.

    So an erasure need not rewrite it. Actors and objects are no foreign keys: the entry outlives both.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        CheckConstraint("seq >= 1", name="seq"),
        CheckConstraint("(seq = 1) = (prev_hash IS NULL)", name="first"),
        Index("ix_audit_entries_actor", "actor_id", "seq"),
        Index("ix_audit_entries_object", "object_id", "seq"),
        Index("ix_audit_entries_act", "act", "seq"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UTC)
    act: Mapped[str] = mapped_column(String(40))
    actor_type: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[UUID | None]
    object_type: Mapped[str | None] = mapped_column(String(20))
    object_id: Mapped[UUID | None]
    request_id: Mapped[str | None] = mapped_column(String(64))
    address_hash: Mapped[str | None] = mapped_column(String(32))
    details: Mapped[dict[str, Any]] = mapped_column(Json)
    prev_hash: Mapped[bytes | None] = mapped_column(_HASH, ForeignKey("audit_entries.hash"), unique=True)
    hash: Mapped[bytes] = mapped_column(_HASH, unique=True)
