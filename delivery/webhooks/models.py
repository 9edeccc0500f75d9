"""The table of endpoints."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, new_id
from delivery.webhooks.states import DisabledReason, EndpointStatus

_STATUSES = ", ".join(f"'{status}'" for status in EndpointStatus)
_REASONS = ", ".join(f"'{reason}'" for reason in DisabledReason)
_LISTENING = text("status <> 'disabled'")
# Whose deliveries an endpoint watches that watches all of them.
EVERYBODY = UUID(int=0)


class WebhookEndpoint(Base):
    """Where somebody's program is told of events; its secrets are encrypted (signing.py)."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        CheckConstraint(f"disabled_reason IN ({_REASONS})", name="disabled_reason"),
        CheckConstraint("(status = 'disabled') = (disabled_reason IS NOT NULL)", name="disabled"),
        CheckConstraint("(old_secret IS NULL) = (old_secret_until IS NULL)", name="old_secret"),
        CheckConstraint("version >= 1", name="version"),
        Index("ix_webhook_endpoints_owner", "owner_id", "id"),
        # Probed at each event: whoever has no endpoint pays for this look and for nothing else.
        Index("ix_webhook_endpoints_watches", "watches", postgresql_where=_LISTENING, sqlite_where=_LISTENING),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    # Whose deliveries: the owner's, or EVERYBODY's.
    watches: Mapped[UUID]
    # Made with a test key: it is told of test deliveries, and of no other.
    test: Mapped[bool] = mapped_column(server_default=false(), default=False)
    url: Mapped[str] = mapped_column(String(2048))
    description: Mapped[str | None] = mapped_column(String(200))
    events: Mapped[list[str]] = mapped_column(Json)
    status: Mapped[str] = mapped_column(String(12), default=EndpointStatus.UNVERIFIED)
    disabled_reason: Mapped[str | None] = mapped_column(String(12))
    # What the newest challenge asks for; an answer to an older one proves nothing about the present URL.
    challenge: Mapped[str] = mapped_column(String(43))
    verified_at: Mapped[datetime | None] = mapped_column(UTC)
    failing_since: Mapped[datetime | None] = mapped_column(UTC)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    old_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_secret_until: Mapped[datetime | None] = mapped_column(UTC)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UTC)
    updated_at: Mapped[datetime] = mapped_column(UTC)
