"""The tables of sessions, refresh tokens and API keys; an access token is alive while its session is."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, new_id

LONGEST_USER_AGENT = 200


class AuthSession(Base):
    """One login; ending it kills its access tokens at the next request, and its refresh tokens with them."""

    __tablename__ = "auth_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    # The user's when it was opened: a login that overlaps with what ends all sessions is not seen by it, and dies of
    # this. 0: opened by the release before, which gave out no refresh tokens.
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(UTC)
    refreshed_at: Mapped[datetime | None] = mapped_column(UTC)
    expires_at: Mapped[datetime] = mapped_column(UTC, index=True)
    revoked_at: Mapped[datetime | None] = mapped_column(UTC)
    user_agent: Mapped[str | None] = mapped_column(String(LONGEST_USER_AGENT))


class RefreshToken(Base):
    """A token that is of use once; the used ones are kept until they would have expired, to know a stolen one by."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (CheckConstraint("(used_at IS NULL) = (successor_salt IS NULL)", name="used"),)

    hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)  # SHA-256 of the token
    session_id: Mapped[UUID] = mapped_column(ForeignKey("auth_sessions.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UTC)
    expires_at: Mapped[datetime] = mapped_column(UTC, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UTC)
    successor_salt: Mapped[bytes | None] = mapped_column(LargeBinary(16))


class ApiKey(Base):
    """A key that a program acts with in its owner's name; it can do what both its scopes and their role allow."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("(rolled_at IS NULL) = (replaced_by IS NULL)", name="rolled"),
        Index("ix_api_keys_user", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(100))
    hint: Mapped[str] = mapped_column(String(20))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)  # SHA-256; the key itself is kept nowhere
    scopes: Mapped[list[str]] = mapped_column(Json)
    expires_at: Mapped[datetime | None] = mapped_column(UTC)
    last_used_at: Mapped[datetime | None] = mapped_column(UTC)  # to five minutes
    revoked_at: Mapped[datetime | None] = mapped_column(UTC)
    rolled_at: Mapped[datetime | None] = mapped_column(UTC)
    replaced_by: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UTC)
