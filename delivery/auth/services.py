"""Signing in, and proving that an address is one's own."""

import secrets
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import select, update
from sqlalchemy.sql.expression import bindparam

from delivery import clock, events
from delivery.auth.events import VerificationRequested
from delivery.database import db, new_id, reader
from delivery.errors import Unauthorized
from delivery.tokens import Purpose, invalid_token, read
from delivery.users import passwords
from delivery.users.models import User

_users = User.__table__
_CREDENTIALS = select(User.id, User.epoch, User.password_hash, User.active, User.email_verified_at).where(
    User.email == bindparam("email")
)


def authenticate(email: str, password: str) -> Any:
    """Return id, epoch and password_hash of whoever has these credentials; reads only.

    Raises:
        Unauthorized: unknown address, wrong password, inactive or unverified: nobody can tell which.
    """
    user = reader().execute(_CREDENTIALS, {"email": email.strip().lower()}).one_or_none()
    right = passwords.matches(user.password_hash if user else None, password)
    if user is None or not right or not user.active or _must_verify_first(user):
        raise Unauthorized("The address or the password is wrong.", code="invalid_credentials")
    return user


def _must_verify_first(user: Any) -> bool:
    return bool(current_app.config["REQUIRE_VERIFIED_EMAIL"]) and user.email_verified_at is None


def keep_new_hash(user: Any, password_hash: str) -> None:
    """Replace a hash that was made at an older cost, unless the password changed meanwhile."""
    db.session.execute(
        update(_users)
        .where(_users.c.id == user.id, _users.c.password_hash == user.password_hash)
        .values(password_hash=password_hash)
    )


def request_verification(email: str) -> None:
    """Have a fresh link sent to an unverified address; older links stop working.

    For any other address the same is written, to nobody: the answer's time does not tell which addresses wait.
    """
    statement = (
        update(_users)
        .where(_users.c.email == email, _users.c.email_verified_at.is_(None), _users.c.active)
        .values(verify_nonce=secrets.token_hex(16))
        .returning(_users.c.id)
    )
    user_id = db.session.execute(statement).scalar_one_or_none()
    events.publish(VerificationRequested(user_id or new_id()))


def verify_email(token: str) -> None:
    """Mark the address as verified that a link was sent to.

    Raises:
        Malformed: forged, too old, used, or replaced by a newer link.
    """
    claims = read(Purpose.VERIFY_EMAIL, token)
    statement = (
        update(_users)
        .where(
            _users.c.id == UUID(claims["uid"]),
            _users.c.epoch == claims["epoch"],
            _users.c.verify_nonce == claims["nonce"],
            _users.c.email_verified_at.is_(None),
        )
        .values(email_verified_at=clock.now(), verify_nonce=None, version=_users.c.version + 1, updated_at=clock.now())
    )
    if db.session.execute(statement.returning(_users.c.id)).one_or_none() is None:
        raise invalid_token()
