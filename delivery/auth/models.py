"""The table of sessions; an access token is alive while its session is."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, new_id


class AuthSession(Base):
    """One login; ending it kills its access tokens at the next request."""

    __tablename__ = "auth_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UTC)
    expires_at: Mapped[datetime] = mapped_column(UTC, index=True)
    revoked_at: Mapped[datetime | None] = mapped_column(UTC)
