"""Opt-outs: addresses that want no news of deliveries, known by keyed hashes alone; all in the caller's transaction.

They outlive an erasure: nothing but the address itself finds them, and who asked for silence must not be written to
because they also asked to be forgotten.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, Row, String, bindparam, or_, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, db, new_id, now, reader, upsert
from delivery.notifications.states import Channel
from delivery.tokens import keyed_hash

_IN_FORCE = text("ended_at IS NULL")


class OptOut(Base):
    """From when to when an address wanted nothing by a channel, and by which ways it said so; never deleted."""

    __tablename__ = "opt_outs"
    __table_args__ = (
        CheckConstraint("channel IN ('mail', 'sms')", name="channel"),
        CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended"),
        Index(
            "uq_opt_outs_in_force", "address_hash", "channel",
            unique=True, postgresql_where=_IN_FORCE, sqlite_where=_IN_FORCE,
        ),
        Index("ix_opt_outs_address", "address_hash", "id"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    channel: Mapped[str] = mapped_column(String(10))
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    # link, stop, page, cli, ...
    source: Mapped[str] = mapped_column(String(20))
    since: Mapped[datetime] = mapped_column(UTC)
    ended_by: Mapped[str | None] = mapped_column(String(20))
    ended_at: Mapped[datetime | None] = mapped_column(UTC)


_opt_outs = OptOut.__table__
_o = _opt_outs.c
_IN_FORCE_OF = select(_o.address_hash).where(
    _o.address_hash.in_(bindparam("hashes", expanding=True)), _o.ended_at.is_(None)
)


def address_hash(channel: str, address: str) -> bytes:
    """Return the keyed hash by which an address of a channel is known again, however a mail address is spelled."""
    return keyed_hash(f"opt_out.{channel}", address.strip().lower())


def opt_out(channel: str, address: str, source: str) -> bool:
    """Send no more news of deliveries to an address; return whether that is new."""
    return opt_out_hash(channel, address_hash(channel, address), source)


def opt_in(channel: str, address: str, source: str) -> bool:
    """Send news to an address again; return whether it had opted out."""
    return opt_in_hash(channel, address_hash(channel, address), source)


def opt_out_hash(channel: str, hashed: bytes, source: str) -> bool:
    """Opt out whoever has the address with this hash; twice at once is once."""
    row = {"id": new_id(), "channel": Channel(channel), "address_hash": hashed, "source": source, "since": now()}
    statement = upsert(_opt_outs).values(row).on_conflict_do_nothing().returning(_o.id)
    return db.session.execute(statement).one_or_none() is not None


def opt_in_hash(channel: str, hashed: bytes, source: str) -> bool:
    """Opt in again whoever has the address with this hash."""
    mine = (_o.address_hash == hashed, _o.channel == channel, _o.ended_at.is_(None))
    statement = update(_opt_outs).where(*mine).values(ended_at=now(), ended_by=source).returning(_o.id)
    return db.session.execute(statement).one_or_none() is not None


def opted_out(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of (channel, address) that have opted out: one read for a whole batch, as the database is now."""
    by_hash = {address_hash(channel, address): (channel, address) for channel, address in pairs}
    return {by_hash[hashed] for hashed in in_force(by_hash)}


def in_force(hashes: Collection[bytes]) -> set[bytes]:
    """Return those of these hashes whose addresses have opted out."""
    return set(reader().execute(_IN_FORCE_OF, {"hashes": list(hashes)}).scalars()) if hashes else set()


def opt_outs_of(*, email: str | None, phone: str | None) -> Sequence[Row[Any]]:
    """Return what an address or number has ever said, the oldest first; a hash depends on its channel."""
    given = [(channel, one) for channel, one in ((Channel.MAIL, email), (Channel.SMS, phone)) if one]
    mine = or_(*(_o.address_hash == address_hash(channel, one) for channel, one in given))
    columns: tuple[Any, ...] = (_o.id, _o.channel, _o.source, _o.since, _o.ended_by, _o.ended_at)
    return reader().execute(select(*columns).where(mine).order_by(_o.id)).all() if given else []
