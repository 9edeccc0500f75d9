"""What people want to be told beyond the defaults, in which language and at which hours; a row a person.

Of an account by its id, of a recipient without one by the keyed hash of the address (opt_outs.address_hash). Changes
are in the caller's transaction.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String, bindparam, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, db, new_id, now, reader, upsert
from delivery.notifications import opt_outs
from delivery.notifications.states import Channel

_QUIET = "(quiet_from IS NULL) = (quiet_to IS NULL) AND (quiet_from IS NULL) = (quiet_zone IS NULL)"


class NotificationPreference(Base):
    """What one person has switched on or off over the defaults: {event: {audience: {channel: true or false}}}."""

    __tablename__ = "notification_preferences"
    __table_args__ = (
        CheckConstraint("(user_id IS NULL) <> (address_hash IS NULL)", name="holder"),
        CheckConstraint(_QUIET, name="quiet"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"), unique=True)
    address_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    cells: Mapped[dict[str, Any]] = mapped_column(Json)
    # None: the account's, or what the delivery says.
    locale: Mapped[str | None] = mapped_column(String(15))
    # By the clock on the wall: "21:00", "08:00", Europe/Berlin.
    quiet_from: Mapped[str | None] = mapped_column(String(5))
    quiet_to: Mapped[str | None] = mapped_column(String(5))
    quiet_zone: Mapped[str | None] = mapped_column(String(40))
    updated_at: Mapped[datetime] = mapped_column(UTC)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one person has set: switches, a language, and quiet hours as (from, to, time zone)."""

    cells: Mapping[str, Any]
    locale: str | None = None
    quiet: tuple[str, str, str] | None = None


NO_WISHES = Wishes({})
_preferences = NotificationPreference.__table__
_p = _preferences.c
_VALUES = ("cells", "locale", "quiet_from", "quiet_to", "quiet_zone")
_OF_USER = select(*(_p[name] for name in _VALUES)).where(_p.user_id == bindparam("user_id"))
_OF_ADDRESSES = select(_p.address_hash, *(_p[name] for name in _VALUES)).where(
    _p.address_hash.in_(bindparam("hashes", expanding=True))
)


def wishes(row: Any) -> Wishes:
    """Return what a row says; one without `cells` is of somebody who has set nothing."""
    if row is None or row.cells is None:
        return NO_WISHES
    return Wishes(row.cells, row.locale, row.quiet_from and (row.quiet_from, row.quiet_to, row.quiet_zone))


def of_user(user_id: UUID) -> Wishes:
    """Return what an account has set."""
    return wishes(reader().execute(_OF_USER, {"user_id": user_id}).one_or_none())


def of_addresses(hashes: Collection[bytes]) -> dict[bytes, Wishes]:
    """Return what recipients have set, by the hash of their address: one read for a whole batch."""
    rows = reader().execute(_OF_ADDRESSES, {"hashes": list(hashes)}).all() if hashes else ()
    return {row.address_hash: wishes(row) for row in rows}


def replace(wished: Wishes, *, user_id: UUID | None = None, address_hash: bytes | None = None) -> None:
    """Set what an account, or whoever has the address with this hash, wants; it replaces all that was set before."""
    begin, end, zone = wished.quiet or (None, None, None)
    values = {"cells": wished.cells, "locale": wished.locale, "updated_at": now()}
    values |= {"quiet_from": begin, "quiet_to": end, "quiet_zone": zone}
    holder = {"user_id": user_id} if user_id else {"address_hash": address_hash}
    statement = upsert(_preferences).values(id=new_id(), **holder, **values)
    db.session.execute(statement.on_conflict_do_update(index_elements=list(holder), set_=values))


def forget(*, email: str | None, phone: str | None) -> None:
    """Delete what whoever has this address or number had set."""
    given = [(channel, one) for channel, one in ((Channel.MAIL, email), (Channel.SMS, phone)) if one]
    hashes = [opt_outs.address_hash(channel, one) for channel, one in given]
    db.session.execute(delete(_preferences).where(_p.address_hash.in_(hashes)))
