"""Sessions: opened by a login, rolled on by each refresh, ended one by one or all at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Flask, current_app
from flask_jwt_extended import create_access_token
from sqlalchemy import ColumnElement, exists, insert, update

from delivery import audit, clock, events
from delivery.auth import refresh_tokens
from delivery.auth.access import TYPE
from delivery.auth.events import RefreshTokenReused
from delivery.auth.models import LONGEST_USER_AGENT, AuthSession, RefreshToken
from delivery.auth.queries import LIVE, UNENDED
from delivery.database import db, delete_some, new_id, now
from delivery.extensions import jwt
from delivery.users.events import AccessRevoked

ISSUER = AUDIENCE = "delivery"
CLOCK_SKEW_SECONDS = 10
_sessions = AuthSession.__table__


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody gets who signs in or refreshes (RFC 6749, 5.1)."""

    session_id: UUID
    access_token: str
    expires_in: int  # seconds
    refresh_token: str


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


def open_session(*, user_id: UUID, epoch: int, user_agent: str | None = None) -> Grant:
    """Start a session for whoever has proved to be this user, whose epoch was this when they did."""
    session_id, opened = new_id(), clock.now()
    expires_at = _expiry(opened)
    row: dict[str, Any] = {"id": session_id, "user_id": user_id, "epoch": epoch, "created_at": opened}
    row |= {"expires_at": expires_at, "user_agent": _readable(user_agent)}
    db.session.execute(insert(_sessions).values(row))
    token = refresh_tokens.issue(session_id, expires_at=expires_at)
    return _grant(session_id, user_id, epoch, expires_at=expires_at, refresh_token=token)


def refresh(token: str, *, family: Any) -> Grant | None:
    """Trade a refresh token of a family (queries.family) for an access token and the next refresh token.

    Whoever comes second with a token, soon and before the next one was used, gets the same next one: an answer that was
    lost, or many that asked at once, cost nobody their session. Later it is theft, of the old token or of the new: the
    session ends, and its owner is told. Returns nothing for every token that is of no use: the caller must commit
    first, and refuse then.

    Publishes RefreshTokenReused.
    """
    expires_at = _expiry(family.created_at)
    successor = refresh_tokens.use(token) if expires_at > clock.now() else None
    if successor:
        return _roll_on(family, expires_at, successor)
    used = refresh_tokens.used(token)
    if used is None:
        return None
    if used.lately and refresh_tokens.is_unused(used.successor):
        return _granted_again(family, used.successor)
    _end_stolen(family)
    return None


def end(session_id: UUID | None, *, user_id: UUID | None) -> bool:
    """End one session of a user; its tokens are dead at the next request. False: it had ended already."""
    return bool(_end(_sessions.c.id == session_id, _sessions.c.user_id == user_id))


def end_all(fact: AccessRevoked) -> None:
    """End every session of a user whose access was revoked; noted, with how many there were, where it is the act."""
    count = _end(_sessions.c.user_id == fact.user_id)
    if fact.in_itself:
        audit.record("session.all_ended", object_type="user", object_id=fact.user_id, count=count)


def end_everybodys() -> int:
    """End every session of everybody: a restored database takes refresh tokens for new that were used since."""
    return _end(*UNENDED)


def purge(limit: int) -> int:
    """Delete up to `limit` refresh tokens and sessions that have run out; returns how many there were of the more.

    A session waits for its tokens to go, so that it takes no thousands of them with it.
    """
    tokens = refresh_tokens.purge(limit)
    empty = ~exists().where(RefreshToken.session_id == _sessions.c.id)
    return max(tokens, delete_some(_sessions.c.id, _sessions.c.expires_at < now(), empty, limit=limit))


def _expiry(opened: datetime) -> datetime:
    """Return until when a session lasts that was opened then and is used now."""
    idle, most = current_app.config["REFRESH_TOKEN_IDLE_DAYS"], current_app.config["SESSION_MAX_DAYS"]
    return min(clock.now() + timedelta(days=idle), opened + timedelta(days=most))


def _roll_on(family: Any, expires_at: datetime, successor: str) -> Grant | None:
    rolled = update(_sessions).where(_sessions.c.id == family.id, _sessions.c.revoked_at.is_(None))
    rolled = rolled.values(refreshed_at=clock.now(), expires_at=expires_at)
    # The row's lock decides against whoever ends it at the same time.
    if db.session.execute(rolled.returning(_sessions.c.id)).one_or_none() is None:
        return None
    refresh_tokens.keep(successor, session_id=family.id, expires_at=expires_at)
    return _grant(family.id, family.user_id, family.epoch, expires_at=expires_at, refresh_token=successor)


def _granted_again(family: Any, successor: str) -> Grant | None:
    live = db.session.execute(LIVE.where(_sessions.c.id == family.id)).one_or_none()
    if live is None:
        return None
    return _grant(family.id, family.user_id, family.epoch, expires_at=live.expires_at, refresh_token=successor)


def _end_stolen(family: Any) -> None:
    if _end(_sessions.c.id == family.id, *UNENDED):
        session_id = str(family.id)
        audit.record("session.refresh_reused", object_type="user", object_id=family.user_id, session_id=session_id)
        events.publish(RefreshTokenReused(family.user_id))


def _grant(session_id: UUID, user_id: UUID, epoch: int, *, expires_at: datetime, refresh_token: str) -> Grant:
    lasting = min(current_app.config["JWT_ACCESS_TOKEN_EXPIRES"], expires_at - clock.now())
    token = create_access_token(
        str(user_id),
        expires_delta=lasting,
        additional_claims={"sid": str(session_id), "epoch": epoch},
        additional_headers={"typ": TYPE},
    )
    return Grant(session_id, token, int(lasting.total_seconds()), refresh_token)


def _end(*which: ColumnElement[bool]) -> int:
    """End sessions, and forget what they were used with: nobody will be shown them any more."""
    statement = update(_sessions).where(*which, _sessions.c.revoked_at.is_(None))
    ended = statement.values(revoked_at=clock.now(), user_agent=None).returning(_sessions.c.id)
    return len(db.session.execute(ended).all())


def _readable(user_agent: str | None) -> str | None:
    readable = "".join(filter(str.isprintable, user_agent or ""))
    return readable[:LONGEST_USER_AGENT] or None
