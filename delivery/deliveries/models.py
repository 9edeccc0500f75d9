"""The tables of deliveries, their history and their tags."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, new_id
from delivery.deliveries.states import BEFORE_PICKUP, INITIAL, TERMINAL, State

_STATES = ", ".join(f"'{state}'" for state in State)
_INITIAL = ", ".join(sorted(f"'{state}'" for state in INITIAL))
_BEFORE_PICKUP = ", ".join(sorted(f"'{state}'" for state in BEFORE_PICKUP))
_TERMINAL = ", ".join(sorted(f"'{state}'" for state in TERMINAL))
_KINDS = "'moved', 'edited', 'assigned', 'proof', 'corrected'"
# Part of the indexes: what is deleted is out of every list, and frees its reference.
ALIVE = text("deleted_at IS NULL")
# As SQLAlchemy asks either for it.
_TESTS, _TESTS_SQLITE = text("test AND deleted_at IS NULL"), text("test = 1 AND deleted_at IS NULL")
OPEN = text(f"deleted_at IS NULL AND status NOT IN ({_TERMINAL})")
_NUMBERED, _NEW = text("position IS NOT NULL"), text("position IS NULL")


def _filled(name: str, *columns: str, by: str) -> Index:
    """Index only the rows that have a value in the column `by`."""
    filled = text(f"{by} IS NOT NULL")
    return Index(name, *columns, postgresql_where=filled, sqlite_where=filled)


class Delivery(Base):
    """One delivery as it is now; its version is the seq of its newest event, and the database holds it to that."""

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATES})", name="status"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("NOT window_earliest > window_latest", name="window"),
        CheckConstraint("status <> 'assigned' OR courier_id IS NOT NULL", name="courier"),
        CheckConstraint(
            f"picked_up_at IS NULL OR (deleted_at IS NULL AND status NOT IN ({_BEFORE_PICKUP}))",
            name="no_way_back",
        ),
        # Tests and live deliveries have each their own.
        Index(
            "uq_deliveries_reference_once", "owner_id", "test", "reference",
            unique=True, postgresql_where=ALIVE, sqlite_where=ALIVE,
        ),
        Index("ix_deliveries_test", "id", postgresql_where=_TESTS, sqlite_where=_TESTS_SQLITE),
        # What stands here is what the history says; checked at commit, because each refers to the other.
        ForeignKeyConstraint(
            ["id", "version", "status"],
            ["delivery_events.delivery_id", "delivery_events.seq", "delivery_events.to_state"],
            name="fk_deliveries_newest_event", deferrable=True, initially="DEFERRED", use_alter=True,
        ),
        Index("ix_deliveries_owner", "owner_id", "id", postgresql_where=ALIVE, sqlite_where=ALIVE),
        # All that a page by state reads, so that it need not guess how many of the newest are in it.
        Index(
            "ix_deliveries_owner_status", "owner_id", "status", "id", "test",
            postgresql_where=ALIVE, sqlite_where=ALIVE,
        ),
        Index("ix_deliveries_courier", "courier_id", "id", postgresql_where=ALIVE, sqlite_where=ALIVE),
        Index("ix_deliveries_status", "status", "id", postgresql_where=ALIVE, sqlite_where=ALIVE),
        Index("ix_deliveries_updated", "updated_at", "id", postgresql_where=ALIVE, sqlite_where=ALIVE),
        Index(
            "ix_deliveries_owner_updated", "owner_id", "updated_at", "id", postgresql_where=ALIVE, sqlite_where=ALIVE
        ),
        # Whoever sees everybody's deliveries looks for a reference without its owner.
        Index("ix_deliveries_reference", "reference", "id", postgresql_where=ALIVE, sqlite_where=ALIVE),
        Index("ix_deliveries_open_window", "window_latest", "id", postgresql_where=OPEN, sqlite_where=OPEN),
        # What is held about somebody is found by these.
        _filled("ix_deliveries_recipient_email", "recipient_email", "id", by="recipient_email"),
        _filled("ix_deliveries_recipient_phone", "recipient_phone", "id", by="recipient_phone"),
        _filled("ix_deliveries_owner_deleted", "owner_id", "id", by="deleted_at"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    courier_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    tracking_number: Mapped[str] = mapped_column(String(13), unique=True)
    reference: Mapped[str | None] = mapped_column(String(100))
    item_name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    recipient_name: Mapped[str] = mapped_column(String(200))
    recipient_email: Mapped[str | None] = mapped_column(String(254))
    recipient_phone: Mapped[str | None] = mapped_column(String(16))
    recipient_locale: Mapped[str] = mapped_column(String(15), default="en")
    pickup: Mapped[dict[str, Any] | None] = mapped_column(Json)
    destination: Mapped[dict[str, Any]] = mapped_column(Json)
    package: Mapped[dict[str, Any] | None] = mapped_column(Json)
    requirements: Mapped[dict[str, Any]] = mapped_column(Json)
    # Its own switches over who is told (told.py); None: none.
    notifications: Mapped[dict[str, Any] | None] = mapped_column(Json)
    window_earliest: Mapped[datetime | None] = mapped_column(UTC)
    window_latest: Mapped[datetime | None] = mapped_column(UTC)
    # Made with a test key, for whoever has one: it is in nobody's live lists, and nobody is written to.
    test: Mapped[bool] = mapped_column(server_default=false(), default=False)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UTC)
    updated_at: Mapped[datetime] = mapped_column(UTC)
    picked_up_at: Mapped[datetime | None] = mapped_column(UTC)
    deleted_at: Mapped[datetime | None] = mapped_column(UTC)


class DeliveryEvent(Base):
    """One change of a delivery: append-only (triggers refuse the rest), an unbroken chain from its creation.

    `prev_seq` is generated, so that (delivery_id, prev_seq, from_state) can refer to the event before.
    """

    __tablename__ = "delivery_events"
    __table_args__ = (
        UniqueConstraint("delivery_id", "seq", "to_state", name="uq_delivery_events_chain"),
        ForeignKeyConstraint(
            ["delivery_id", "prev_seq", "from_state"],
            ["delivery_events.delivery_id", "delivery_events.seq", "delivery_events.to_state"],
            name="fk_delivery_events_chain",
        ),
        CheckConstraint("seq >= 1", name="seq"),
        CheckConstraint("(seq = 1) = (from_state IS NULL)", name="first"),
        CheckConstraint(f"seq > 1 OR to_state IN ({_INITIAL})", name="initial"),
        CheckConstraint(f"to_state IN ({_STATES})", name="to_state"),
        CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
        CheckConstraint("kind IN ('moved', 'assigned', 'corrected') OR from_state = to_state", name="edit_keeps_state"),
        _filled("ix_delivery_events_actor", "actor_id", "delivery_id", "seq", by="actor_id"),
        # No plain unique index: whoever refers to an event would then wait for whoever numbers it.
        Index(
            "uq_delivery_events_position", "position", unique=True, postgresql_where=_NUMBERED, sqlite_where=_NUMBERED
        ),
        Index("ix_delivery_events_new", "delivery_id", "seq", postgresql_where=_NEW, sqlite_where=_NEW),
    )

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("deliveries.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    prev_seq: Mapped[int | None] = mapped_column(Computed("NULLIF(seq - 1, 0)", persisted=True))
    kind: Mapped[str] = mapped_column(String(10))
    from_state: Mapped[str | None] = mapped_column(String(16))
    to_state: Mapped[str] = mapped_column(String(16))
    reason_code: Mapped[str | None] = mapped_column(String(40))
    actor_type: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    request_id: Mapped[str | None] = mapped_column(String(64))
    occurred_at: Mapped[datetime] = mapped_column(UTC)
    recorded_at: Mapped[datetime] = mapped_column(UTC)
    # Its place in the feed, given once, after its commit (numbering.py).
    position: Mapped[int | None] = mapped_column(BigInteger)


class FeedFloor(Base):
    """Positions in the feed begin above the highest of these: a backup knows nothing of those given after it."""

    __tablename__ = "feed_floors"

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    set_at: Mapped[datetime] = mapped_column(UTC)


class DeliveryEventDetail(Base):
    """Free text and position of an event: beside it, because erasure must be able to clear them."""

    __tablename__ = "delivery_event_details"
    __table_args__ = (
        ForeignKeyConstraint(["delivery_id", "seq"], ["delivery_events.delivery_id", "delivery_events.seq"]),
        CheckConstraint("lat BETWEEN -90 AND 90", name="lat"),
        CheckConstraint("lng BETWEEN -180 AND 180", name="lng"),
    )

    delivery_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    note: Mapped[str | None] = mapped_column(Text)
    public_note: Mapped[str | None] = mapped_column(Text)
    lat: Mapped[float | None] = mapped_column(Float)
    lng: Mapped[float | None] = mapped_column(Float)


class Tag(Base):
    """A word that deliveries share."""

    __tablename__ = "tags"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(50), unique=True)


delivery_tags = Table(
    "delivery_tags",
    Base.metadata,
    Column("delivery_id", ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True, index=True),
)
