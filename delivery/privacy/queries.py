"""Reads of the erasures, and the hashes by which a recipient is known again."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select

from delivery.database import db, reader
from delivery.privacy.models import Erasure, ErasureDelivery
from delivery.tokens import keyed_hash

_erasures, _rest = Erasure.__table__, ErasureDelivery.__table__
_WAITING = select(func.count()).where(_rest.c.erasure_id == _erasures.c.id).correlate(_erasures).scalar_subquery()
COLUMNS = (*_erasures.c, _WAITING.label("waiting"))


def email_hash(email: str) -> bytes:
    """Return the keyed hash of an address, however it is spelled."""
    return keyed_hash("erasure.email", email.lower())


def phone_hash(phone: str) -> bytes:
    """Return the keyed hash of a telephone number (E.164)."""
    return keyed_hash("erasure.phone", phone)


def key_mark() -> str:
    """Return by what one tells that two hashes were made with the same SECRET_KEY, so that they can be compared."""
    return keyed_hash("erasure.key", "").hex()[:16]


def erasures(*, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return erasures, the newest first, beginning after an id."""
    query = select(*COLUMNS).order_by(_erasures.c.id.desc()).limit(limit)
    return reader().execute(query.where(_erasures.c.id < after) if after else query).all()


def just_written(erasure_id: UUID) -> Row[Any]:
    """Return an erasure of the current transaction."""
    return db.session.execute(_by_id(erasure_id)).one()


def _by_id(erasure_id: UUID) -> Select[Any]:
    return select(*COLUMNS).where(_erasures.c.id == erasure_id)
