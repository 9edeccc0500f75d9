"""The tables of sessions, refresh tokens, API keys, invitations; an access token is alive while its session is."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, new_id
from delivery.users.states import Role

_ROLES = ", ".join(f"'{role}'" for role in Role)
_OPEN = text("accepted_at IS NULL AND revoked_at IS NULL")

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
    # Its deliveries are tests: only test keys see them.
    test: Mapped[bool] = mapped_column(server_default=false(), default=False)
    revoked_at: Mapped[datetime | None] = mapped_column(UTC)
    rolled_at: Mapped[datetime | None] = mapped_column(UTC)
    replaced_by: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UTC)


class Invitation(Base):
    """A link by which somebody makes the account that an admin has chosen a role for."""

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint(f"role IN ({_ROLES})", name="role"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("email = lower(email)", name="email_folded"),
        CheckConstraint("accepted_at IS NULL OR revoked_at IS NULL", name="one_end"),
        # One that is open for each address, whoever invites at the same time.
        Index("uq_invitations_open", "email", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    # The address and the name are taken off 30 days after its end.
    email: Mapped[str | None] = mapped_column(String(254))
    name: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(12))
    # Nobody in person, when it was a command.
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    nonce: Mapped[str] = mapped_column(String(32))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UTC)
    expires_at: Mapped[datetime] = mapped_column(UTC)
    accepted_at: Mapped[datetime | None] = mapped_column(UTC)
    revoked_at: Mapped[datetime | None] = mapped_column(UTC)
