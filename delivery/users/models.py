"""The tables of users, and of the addresses that they had before."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, new_id
from delivery.users.states import Role

_ROLES = ", ".join(f"'{role}'" for role in Role)


class User(Base):
    """A person with an account; an erased one stays as a pseudonym, because deliveries refer to it."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"role IN ({_ROLES})", name="role"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("email = lower(email)", name="email_folded"),
        CheckConstraint("erased_at IS NULL OR (NOT active AND email IS NULL)", name="erased"),
        CheckConstraint("erased_at IS NOT NULL OR email IS NOT NULL", name="email"),
        Index("ix_users_role", "role", "id"),
        Index("uq_users_email", "email", unique=True),
        # One first admin, however many processes start at once.
        Index(
            "uq_users_first_admin", "first_admin", unique=True,
            postgresql_where=text("first_admin"), sqlite_where=text("first_admin"),
        ),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str | None] = mapped_column(String(254))
    phone: Mapped[str | None] = mapped_column(String(16))
    role: Mapped[str] = mapped_column(String(12), default=Role.CUSTOMER)
    locale: Mapped[str] = mapped_column(String(15), default="en")
    time_zone: Mapped[str] = mapped_column(String(40), default="UTC")
    active: Mapped[bool] = mapped_column(default=True)
    first_admin: Mapped[bool] = mapped_column(default=False)
    password_hash: Mapped[str] = mapped_column(String(200))
    # Raised by everything that must end all sessions and links at once.
    epoch: Mapped[int] = mapped_column(default=1)
    email_verified_at: Mapped[datetime | None] = mapped_column(UTC)
    # In each verification link until one is used; of several the one works that answers the newest request.
    verify_nonce: Mapped[str | None] = mapped_column(String(32))
    # Replaced by each request, so that only the newest link works: for a new password, and for a new address, which is
    # somebody else's until its link comes back.
    reset_nonce: Mapped[str | None] = mapped_column(String(32))
    new_email: Mapped[str | None] = mapped_column(String(254))
    email_nonce: Mapped[str | None] = mapped_column(String(32))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UTC)
    updated_at: Mapped[datetime] = mapped_column(UTC)
    erased_at: Mapped[datetime | None] = mapped_column(UTC)


class FormerEmail(Base):
    """An address that somebody had; kept for a week, for the mail that tells whoever reads there of the change."""

    __tablename__ = "former_emails"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    email: Mapped[str] = mapped_column(String(254))
    changed_at: Mapped[datetime] = mapped_column(UTC, index=True)
