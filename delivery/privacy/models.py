"""The tables of erasures: who was to be forgotten, as ids and keyed hashes, and what has still to be done for it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, new_id
from delivery.privacy.states import Kind

_KINDS = ", ".join(f"'{kind}'" for kind in Kind)
_HASH = LargeBinary(32)


class Erasure(Base):
    """Somebody was to be forgotten; kept for ever, because a restored backup knows them again.

    `user_id` is no foreign key: after a restore the account may not be there.
    """

    __tablename__ = "erasures"
    __table_args__ = (
        CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
        CheckConstraint("(kind = 'user') = (user_id IS NOT NULL)", name="user"),
        CheckConstraint("(kind = 'recipient') = (email_hash IS NOT NULL OR phone_hash IS NOT NULL)", name="recipient"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[UUID | None] = mapped_column(unique=True)
    email_hash: Mapped[bytes | None] = mapped_column(_HASH)
    phone_hash: Mapped[bytes | None] = mapped_column(_HASH)
    requested_at: Mapped[datetime] = mapped_column(UTC)
    finished_at: Mapped[datetime | None] = mapped_column(UTC)
    # How much was forgotten: deliveries, messages, answers, words, addresses, invitations.
    counts: Mapped[dict[str, int]] = mapped_column(Json)


class ErasureDelivery(Base):
    """A delivery that an erasure has still to reach: an open one keeps its address until it is finished.

    `delivery_id` is no foreign key: its check would wait for whoever is changing the delivery.
    """

    __tablename__ = "erasure_deliveries"

    erasure_id: Mapped[UUID] = mapped_column(ForeignKey("erasures.id"), primary_key=True)
    delivery_id: Mapped[UUID] = mapped_column(primary_key=True)
