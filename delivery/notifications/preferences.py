"""What people want to be told beyond the defaults, in which language and at which hours; a row a person.

Of an account by its id, of a recipient without one by the keyed hash of the address (opt_outs.address_hash). Changes
are in the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, Row, String, bindparam, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, db, new_id, now, reader, upsert

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


_preferences = NotificationPreference.__table__
_p = _preferences.c
_VALUES = ("cells", "locale", "quiet_from", "quiet_to", "quiet_zone")
_OF_USER = select(*(_p[name] for name in _VALUES)).where(_p.user_id == bindparam("user_id"))
_OF_ADDRESSES = select(_p.address_hash, *(_p[name] for name in _VALUES)).where(
    _p.address_hash.in_(bindparam("hashes", expanding=True))
)


def of_user(user_id: UUID) -> Row[Any] | None:
    """Return what an account has set; None: nothing."""
    return reader().execute(_OF_USER, {"user_id": user_id}).one_or_none()


def of_addresses(hashes: Sequence[bytes]) -> Mapping[bytes, Row[Any]]:
    """Return what recipients have set, by the hash of their address: one read for a whole batch."""
    rows = reader().execute(_OF_ADDRESSES, {"hashes": hashes}).all() if hashes else ()
    return {row.address_hash: row for row in rows}


def replace(*, user_id: UUID | None = None, address_hash: bytes | None = None, **values: Any) -> None:
    """Set what one person wants, whole; `values`: cells, locale, quiet_from, quiet_to, quiet_zone."""
    holder = {"user_id": user_id} if user_id else {"address_hash": address_hash}
    given = {**dict.fromkeys(_VALUES), "cells": {}, **values, "updated_at": now()}
    statement = upsert(_preferences).values(id=new_id(), **holder, **given)
    db.session.execute(statement.on_conflict_do_update(index_elements=list(holder), set_=given))


def forget(*, hashes: Sequence[bytes]) -> None:
    """Delete what whoever has these addresses had set."""
    db.session.execute(delete(_preferences).where(_p.address_hash.in_(hashes)))
