"""Signing in and out."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import select, update
from sqlalchemy.sql.expression import bindparam

from delivery import audit, limits
from delivery.auth import sessions
from delivery.database import db, reader
from delivery.errors import NotFound
from delivery.users import passwords
from delivery.users import services as users
from delivery.users.models import User

_users = User.__table__
_CREDENTIALS = select(User.id, User.epoch, User.password_hash, User.active, User.email_verified_at).where(
    User.email == bindparam("email")
)


def account_of(email: str) -> Any:
    """Return what decides whether the owner of an address may sign in; None, when nobody owns it."""
    return reader().execute(_CREDENTIALS, {"email": email.strip().lower()}).one_or_none()


def refusal_of(user: Any, password: str, *, barred: bool) -> str | None:
    """Say why these credentials open no session, or None if they do; it costs one hash, whatever it says.

    Only the audit log hears it: nobody else can tell an unknown address from a wrong password, from an account that is
    inactive, unverified or barred after too many failures.
    """
    right = passwords.matches(user.password_hash if user else None, password)
    verdicts = {
        "unknown": user is None,
        "wrong_password": not right,
        "barred": barred,
        "inactive": user is not None and not user.active,
        "unverified": user is not None and _must_verify_first(user),
    }
    return next((reason for reason, holds in verdicts.items() if holds), None)


def sign_in(user: Any, *, attempt: limits.Taken, user_agent: str | None) -> sessions.Grant:
    """Open a session for somebody who has proved who they are, and forgive the attempts before it."""
    limits.forgive(attempt)
    granted = sessions.open_session(user_id=user.id, epoch=user.epoch, user_agent=user_agent)
    session_id = str(granted.session_id)
    audit.record("session.opened", object_type="user", object_id=user.id, session_id=session_id)
    return granted


def refuse(user: Any, *, reason: str) -> None:
    """Note that somebody was not let in; the same is written for an address that nobody owns."""
    audit.record("session.refused", object_type="user", object_id=user.id if user else None, reason=reason)


def sign_out(user_id: UUID | None, session_id: UUID | None) -> None:
    """End one session of a user; it may have ended at this very moment."""
    if sessions.end(session_id, user_id=user_id):
        audit.record("session.ended", object_type="user", object_id=user_id, session_id=str(session_id))


def sign_out_everywhere(user_id: UUID | None) -> None:
    """End every session and every link of a user; of one who is erased at this moment, none is left."""
    with suppress(NotFound):
        users.end_sessions(user_id)


def _must_verify_first(user: Any) -> bool:
    return bool(current_app.config["REQUIRE_VERIFIED_EMAIL"]) and user.email_verified_at is None


def keep_new_hash(user: Any, password_hash: str) -> None:
    """Replace a hash that was made at an older cost, unless the password changed meanwhile."""
    db.session.execute(
        update(_users)
        .where(_users.c.id == user.id, _users.c.password_hash == user.password_hash)
        .values(password_hash=password_hash)
    )
