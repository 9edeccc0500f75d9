"""Refresh tokens: opaque, of use once, and stored as nothing but a hash.

The successor of a token is derived from it, with a salt that is drawn when it is used. So an answer that was lost can
be given again, although nothing stored is of use to a thief: it takes the old token, its row in the database and
SECRET_KEY. That a token comes twice shows that somebody else has it (RFC 9700, 4.14.2).
"""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from delivery import clock
from delivery.auth.models import RefreshToken
from delivery.auth.queries import LIVE
from delivery.database import db, delete_some, now
from delivery.tokens import keyed_hash

PREFIX = "rt_"  # tells a scanner of repositories what it has found
GRACE_SECONDS = 30
_RANDOM_BYTES, _SALT_BYTES = 32, 16
_tokens = RefreshToken.__table__


@dataclass(frozen=True, slots=True)
class Used:
    """A token that was used before: its successor, and whether that may still be a lost answer."""

    successor: str
    lately: bool


def issue(session_id: UUID, *, expires_at: datetime) -> str:
    """Draw the first token of a session."""
    token = f"{PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"
    keep(token, session_id=session_id, expires_at=expires_at)
    return token


def keep(token: str, *, session_id: UUID, expires_at: datetime) -> None:
    """Store a token's hash."""
    row: dict[str, Any] = {"session_id": session_id, "created_at": clock.now(), "expires_at": expires_at}
    db.session.execute(insert(_tokens).values(hash=hash_of(token), **row))


def use(token: str) -> str | None:
    """Use a token up and return its successor; of all who try, one does. Nothing, when its session is not alive."""
    salt = secrets.token_bytes(_SALT_BYTES)
    unused = (_tokens.c.hash == hash_of(token), _tokens.c.used_at.is_(None), _tokens.c.expires_at > now())
    live = _tokens.c.session_id.in_(LIVE.with_only_columns(LIVE.selected_columns.id))
    statement = update(_tokens).where(*unused, live).values(used_at=now(), successor_salt=salt)
    won = db.session.execute(statement.returning(_tokens.c.hash)).one_or_none()
    return _successor(token, salt) if won else None


def used(token: str) -> Used | None:
    """Tell about a token that was used before; nothing, when it was not."""
    lately = (_tokens.c.used_at > now(plus=-GRACE_SECONDS)).label("lately")
    query = select(_tokens.c.successor_salt, lately).where(_tokens.c.hash == hash_of(token))
    row = db.session.execute(query.where(_tokens.c.used_at.is_not(None))).one_or_none()
    return Used(_successor(token, row.successor_salt), bool(row.lately)) if row else None


def is_unused(token: str) -> bool:
    query = select(_tokens.c.hash).where(_tokens.c.hash == hash_of(token), _tokens.c.used_at.is_(None))
    return db.session.execute(query).one_or_none() is not None


def purge(limit: int) -> int:
    """Delete up to `limit` tokens that would have expired by now; returns how many there were."""
    return delete_some(_tokens.c.hash, _tokens.c.expires_at < now(), limit=limit)


def hash_of(token: str) -> bytes:
    """Return what is stored of a token; it is random enough to need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def _successor(token: str, salt: bytes) -> str:
    derived = keyed_hash("refresh-successor", f"{token}.{salt.hex()}")
    return PREFIX + urlsafe_b64encode(derived).rstrip(b"=").decode()
