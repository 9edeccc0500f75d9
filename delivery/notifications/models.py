"""The outbox's tables: a message is a row, and so is each attempt to send it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, new_id
from delivery.notifications.states import Channel, MessageState

_OPEN = text("state IN ('pending', 'sending')")
_OPEN_WEBHOOK = text("channel = 'webhook' AND state IN ('pending', 'sending')")


def _one_of(column: str, values: type[Channel] | type[MessageState]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class OutboxMessage(Base):
    """One message to one recipient through one channel; the truth about whether it was sent.

    The recipient is an id (a user's; a delivery's, for the person who receives it; an endpoint's), never an address:
    the address is looked up when the message is sent, so that erasure and opt-out reach queued rows too.
    """

    __tablename__ = "outbox_messages"
    __table_args__ = (
        # No message without its event.
        ForeignKeyConstraint(["delivery_id", "seq"], ["delivery_events.delivery_id", "delivery_events.seq"]),
        _one_of("channel", Channel),
        _one_of("state", MessageState),
        CheckConstraint("attempts >= 0", name="attempts"),
        CheckConstraint("(delivery_id IS NULL) = (seq IS NULL)", name="event"),
        CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name="lease"),
        CheckConstraint("(lease_token IS NULL) = (lease_until IS NULL)", name="lease_until"),
        CheckConstraint("(settled_at IS NULL) = (state IN ('pending', 'sending'))", name="settled"),
        # About a test delivery; written and not sent. Its webhooks go to endpoints that a test key has made.
        CheckConstraint("NOT test OR channel = 'webhook' OR state = 'suppressed'", name="captured"),
        Index("ix_outbox_messages_test", "id", postgresql_where=text("test"), sqlite_where=text("test = 1")),
        # Told once: the same person, the same event, the same channel.
        Index(
            "uq_outbox_messages_told_once",
            "channel", "recipient_id", "delivery_id", "seq", "audience",
            unique=True,
            postgresql_where=text("resend_of IS NULL"),
            sqlite_where=text("resend_of IS NULL"),
        ),
        # The sweep and the claim probe these; settled rows are not in them.
        Index("ix_outbox_messages_due", "channel", "next_at", postgresql_where=_OPEN, sqlite_where=_OPEN),
        Index("ix_outbox_messages_lane", "lane", "id", postgresql_where=_OPEN, sqlite_where=_OPEN),
        Index("ix_outbox_messages_delivery", "delivery_id", "id"),
        Index("ix_outbox_messages_recipient", "recipient_id", "id"),
        Index("ix_outbox_messages_owner", "owner_id", "id"),
        # Webhooks are claimed endpoint by endpoint, so that a slow one stands in nobody's way.
        Index(
            "ix_outbox_messages_endpoint",
            "recipient_id", "next_at",
            postgresql_where=_OPEN_WEBHOOK,
            sqlite_where=_OPEN_WEBHOOK,
        ),
        Index("ix_outbox_messages_state", "state", "id"),
        # For what is thrown away: does another message repeat it? Few rows are in it.
        Index(
            "ix_outbox_messages_resend_of",
            "resend_of",
            postgresql_where=text("resend_of IS NOT NULL"),
            sqlite_where=text("resend_of IS NOT NULL"),
        ),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    channel: Mapped[str] = mapped_column(String(10))
    audience: Mapped[str] = mapped_column(String(12))
    recipient_id: Mapped[UUID]
    # The account whose delivery, endpoint or own affair it is.
    owner_id: Mapped[UUID | None]
    delivery_id: Mapped[UUID | None]
    seq: Mapped[int | None]
    event: Mapped[str] = mapped_column(String(40))
    template: Mapped[str] = mapped_column(String(40))
    # None: the account's own, looked up when the message is sent.
    locale: Mapped[str | None] = mapped_column(String(15))
    # First in, first out within a lane; other lanes pass.
    lane: Mapped[str] = mapped_column(String(100))
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    # What a webhook says, frozen: receivers verify these bytes. Letters to people are worded when they are sent.
    body: Mapped[str | None] = mapped_column(Text)
    test: Mapped[bool] = mapped_column(server_default=false(), default=False)
    state: Mapped[str] = mapped_column(String(12), default=MessageState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    # When the next attempt is due; while a worker holds the row, when its lease ends.
    next_at: Mapped[datetime] = mapped_column(UTC)
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None] = mapped_column(UTC)
    # Written before the provider may have accepted it: found with no result, it is uncertain, not unsent.
    handoff_at: Mapped[datetime | None] = mapped_column(UTC)
    expires_at: Mapped[datetime | None] = mapped_column(UTC)
    provider: Mapped[str | None] = mapped_column(String(20))
    provider_ref: Mapped[str | None] = mapped_column(String(100))
    error_class: Mapped[str | None] = mapped_column(String(40))
    error: Mapped[str | None] = mapped_column(Text)
    # Of a text message: how many segments were counted for it.
    segments: Mapped[int | None]
    resend_of: Mapped[UUID | None] = mapped_column(ForeignKey("outbox_messages.id"))
    request_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UTC)
    settled_at: Mapped[datetime | None] = mapped_column(UTC)


class OutboxAttempt(Base):
    """One attempt to send a message; rows are only ever added, and completed once."""

    __tablename__ = "outbox_attempts"
    # Rows come in the order of this column, so that PostgreSQL needs next to nothing to find the young ones.
    __table_args__ = (Index("ix_outbox_attempts_started", "started_at", postgresql_using="brin"),)

    message_id: Mapped[UUID] = mapped_column(ForeignKey("outbox_messages.id"), primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UTC)
    handoff_at: Mapped[datetime | None] = mapped_column(UTC)
    ended_at: Mapped[datetime | None] = mapped_column(UTC)
    outcome: Mapped[str | None] = mapped_column(String(12))
    provider: Mapped[str | None] = mapped_column(String(20))
    provider_ref: Mapped[str | None] = mapped_column(String(100))
    error_class: Mapped[str | None] = mapped_column(String(40))
    error: Mapped[str | None] = mapped_column(Text)


class OutboxHold(Base):
    """While one stands, nothing is sent; kept when it is released, to tell when messages were late and why."""

    __tablename__ = "outbox_holds"
    REASON_LENGTH = 200

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    reason: Mapped[str] = mapped_column(String(REASON_LENGTH))
    held_at: Mapped[datetime] = mapped_column(UTC)
    released_at: Mapped[datetime | None] = mapped_column(UTC)


class Breaker(Base):
    """How many attempts failed in a row at a provider (`mail:smtp`) or an endpoint (`webhook:<id>`)."""

    __tablename__ = "breakers"

    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    failures: Mapped[int]
    paused_until: Mapped[datetime | None] = mapped_column(UTC)
    changed_at: Mapped[datetime] = mapped_column(UTC)
