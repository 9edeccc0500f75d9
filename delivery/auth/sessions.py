"""Sessions: opened by a login, ended one by one or all at once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask, current_app
from flask_jwt_extended import create_access_token
from sqlalchemy import delete, insert, select, update

from delivery import clock
from delivery.auth.access import TYPE
from delivery.auth.models import AuthSession
from delivery.database import db, new_id, now
from delivery.extensions import jwt
from delivery.users.events import AccessRevoked

ISSUER = AUDIENCE = "delivery"
CLOCK_SKEW_SECONDS = 10
_sessions = AuthSession.__table__


@dataclass(frozen=True, slots=True)
class AccessToken:
    value: str
    expires_in: int  # seconds


def init_app(app: Flask) -> None:
    """Fix how tokens are signed and what they must claim (RFC 8725)."""
    app.config.update(
        JWT_ALGORITHM="HS256",
        JWT_DECODE_ALGORITHMS=["HS256"],
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ENCODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_LEEWAY=CLOCK_SKEW_SECONDS,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=app.config["ACCESS_TOKEN_EXPIRE_MINUTES"]),
    )
    jwt.init_app(app)


def open_session(*, user_id: UUID, epoch: int) -> AccessToken:
    """Start a session, and issue the access token that lives as long as it."""
    opened, lasting = clock.now(), current_app.config["JWT_ACCESS_TOKEN_EXPIRES"]
    session_id = new_id()
    row: dict[str, Any] = {"id": session_id, "user_id": user_id, "created_at": opened, "expires_at": opened + lasting}
    db.session.execute(insert(_sessions).values(row))
    token = create_access_token(
        str(user_id),
        expires_delta=lasting,
        additional_claims={"sid": str(session_id), "epoch": epoch},
        additional_headers={"typ": TYPE},
    )
    return AccessToken(token, expires_in=int(lasting.total_seconds()))


def end(session_id: UUID) -> None:
    """End one session; its tokens are dead at the next request."""
    _end(_sessions.c.id == session_id)


def end_all(fact: AccessRevoked) -> None:
    """End every session of a user."""
    _end(_sessions.c.user_id == fact.user_id)


def purge(limit: int) -> int:
    """Delete up to `limit` sessions that have run out; returns how many there were."""
    doomed = select(_sessions.c.id).where(_sessions.c.expires_at < now()).limit(limit).cte("doomed")
    gone = delete(_sessions).where(_sessions.c.id.in_(select(doomed.c.id))).returning(_sessions.c.id)
    return len(db.session.execute(gone).all())


def _end(which: Any) -> None:
    statement = update(_sessions).where(which, _sessions.c.revoked_at.is_(None))
    db.session.execute(statement.values(revoked_at=clock.now()))
