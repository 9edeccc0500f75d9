"""From an Authorization header to the caller: a verified token or an API key, and one indexed read.

And the only way to a session or a key: one's own; and, for admins, to an invitation.
"""

from functools import lru_cache
from typing import Any
from uuid import UUID

from flask import current_app
from flask_jwt_extended import decode_token, get_unverified_jwt_headers
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError
from sqlalchemy import Row, select
from sqlalchemy.sql.expression import bindparam

from delivery import clock
from delivery.auth import key_secrets
from delivery.auth.key_checks import caller_by_key
from delivery.auth.models import AuthSession, Invitation
from delivery.auth.queries import KEY_BY_ID, UNENDED
from delivery.database import now, reader
from delivery.errors import NotFound, Unauthorized
from delivery.idempotency import read_caller
from delivery.users.access import parts_of
from delivery.users.models import User
from delivery.users.states import Part
from delivery.web import Caller

TYPE = "at+jwt"  # RFC 9068, 2.1; a token of another type is not one of ours (RFC 8725, 3.11)
_CHALLENGE = 'Bearer error="invalid_token"'
# A token is as alive as its session, its user and its user's epoch: one read decides.
_ALIVE: Any = (
    select(User.id, User.role, User.epoch)
    .join(AuthSession, AuthSession.user_id == User.id)
    .where(
        AuthSession.id == bindparam("session_id"),
        AuthSession.revoked_at.is_(None),
        AuthSession.expires_at > now(),
        User.active,
    )
)
_INVITATION = select(*Invitation.__table__.columns).where(Invitation.id == bindparam("id"))

_OWN = select(*AuthSession.__table__.c).where(
    AuthSession.id == bindparam("session_id"), AuthSession.user_id == bindparam("user_id"), *UNENDED
)


def identify(header: str) -> Caller:
    """Return who sent an Authorization header.

    Raises:
        Unauthorized: no bearer token or key, or one that is forged, expired or ended (RFC 6750, 3).
    """
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("Sign in and send the access token, or an API key, as a bearer token.")
    token = token.strip()
    found = caller_by_key(token) if token.startswith(key_secrets.PREFIXES) else _by_session(token)
    if found is None:
        raise _refused()
    return found


def _by_session(token: str) -> Caller | None:
    session_id, epoch, expires = _verified(token, current_app.config["JWT_SECRET_KEY"])
    if expires <= clock.now().timestamp():
        return None
    row = read_caller(_ALIVE, {"session_id": session_id}, test=False)
    if row is None or row.epoch != epoch:
        return None
    return Caller(id=row.id, role=row.role, session_id=session_id)


@lru_cache(maxsize=4096)
def _verified(token: str, _key: str) -> tuple[UUID, int, float]:
    """Check a token's signature and claims once; whether it is still alive is checked each time.

    Only what passed is remembered, so that forged tokens cannot push out good ones.
    """
    try:
        claims: dict[str, Any] = decode_token(token)
        if (get_unverified_jwt_headers(token)["typ"], claims["type"]) != (TYPE, "access"):
            raise _refused()
        return UUID(str(claims["sid"])), int(claims["epoch"]), float(claims["exp"])
    except (PyJWTError, JWTExtendedException, OverflowError, KeyError, ValueError, TypeError, RecursionError):
        raise _refused() from None


def session_for(caller: Caller, session_id: UUID, may: frozenset[str]) -> Row[Any]:
    """Return one of the caller's own sessions that has not ended; what they may be to it is its owner, or nothing.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
    """
    row = reader().execute(_OWN, {"session_id": session_id, "user_id": caller.id}).one_or_none()
    if row is None or Part.SELF not in may:
        raise NotFound
    return row


def _refused() -> Unauthorized:
    return Unauthorized("The access token or API key is not valid, or no longer is.", challenge=_CHALLENGE)


def key_for(caller: Caller, key_id: UUID, may: frozenset[str]) -> Row[Any]:
    """Return the columns of an API key, all but its hash, to the person whose it is.

    Raises:
        NotFound: nobody has this key, or somebody else does.
    """
    row = reader().execute(KEY_BY_ID, {"id": key_id}).one_or_none()
    parts = {Part.SELF} if row is not None and row.user_id == caller.id else set()
    if row is None or not parts & may:
        raise NotFound
    return row


def invitation_for(caller: Caller, invitation_id: UUID, may: frozenset[str]) -> Row[Any]:
    """Return the columns of an invitation to an admin.

    Raises:
        NotFound: there is none with this id, or the caller is no admin.
    """
    parts = parts_of(caller, None)
    row = reader().execute(_INVITATION, {"id": invitation_id}).one_or_none() if parts & may else None
    if row is None:
        raise NotFound
    return row
