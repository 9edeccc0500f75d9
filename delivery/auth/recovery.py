"""New passwords: by a link to one's address, or by knowing the one before."""

import secrets
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.sql.expression import bindparam

from delivery import audit, clock, events, limits
from delivery.auth.events import ApiKeysRevoked, PasswordChanged, PasswordResetRequested
from delivery.database import db, new_id, reader, transaction
from delivery.errors import Conflict, Unauthorized, invalid_field
from delivery.tokens import Purpose, invalid_token, read
from delivery.users import passwords
from delivery.users.events import AccessRevoked
from delivery.users.models import User

_users = User.__table__
_OWNER = select(User.id, User.name, User.email, User.epoch, User.password_hash).where(
    User.id == bindparam("uid"), User.active
)
# With = and no IS NULL: a claim without a nonce finds nobody.
_LINKED = select(User.id, User.name, User.email, User.epoch, User.reset_nonce, User.email_verified_at).where(
    User.id == bindparam("uid"),
    User.epoch == bindparam("epoch"),
    User.reset_nonce == bindparam("nonce"),
    User.active,
)


def request_reset(email: str) -> None:
    """Have a link sent to an address by which its owner can choose a new password; older links stop working.

    For an address that nobody has the same is written, to nobody.
    """
    statement = update(_users).where(_users.c.email == email, _users.c.active)
    statement = statement.values(reset_nonce=secrets.token_hex(16))
    user_id = db.session.execute(statement.returning(_users.c.id)).scalar_one_or_none()
    audit.record("password.reset_requested", object_type="user", object_id=user_id)
    events.publish(PasswordResetRequested(user_id or new_id()))


def linked(token: str) -> Any:
    """Return whose link this is, before anything costs a hash; reads only.

    Raises:
        Malformed: forged, too old, used, or replaced by a newer link.
    """
    claims = read(Purpose.RESET_PASSWORD, token)
    user = reader().execute(_LINKED, {**claims, "uid": UUID(claims["uid"])}).one_or_none()
    if user is None:
        raise invalid_token()
    return user


def reset(user: Any, *, password_hash: str, revoke_api_keys: bool) -> None:
    """Set the password of whoever `linked` returned; the address is proven with it.

    Where it was not before, somebody else may have registered it: no key of theirs outlives the reset.

    Raises:
        Malformed: the link was used, or replaced, meanwhile.
    """
    verified = {"email_verified_at": func.coalesce(_users.c.email_verified_at, clock.now()), "verify_nonce": None}
    if not _set(user, _users.c.reset_nonce == user.reset_nonce, password_hash=password_hash, **verified):
        raise invalid_token()
    _tell(user, "password.reset", revoke_api_keys=revoke_api_keys or user.email_verified_at is None)


def owner(user_id: UUID | None) -> Any:
    """Return the account of whoever is signed in.

    Raises:
        Unauthorized: it was deactivated at this moment.
    """
    user = reader().execute(_OWNER, {"uid": user_id}).one_or_none()
    if user is None:
        raise Unauthorized("The account is not active any more.")
    return user


def prove(user: Any, password: str, *, pointer: str) -> limits.Taken:
    """Check that whoever is signed in knows the password, too; a guess counts as one at a login does.

    Returns what is to be forgiven when it all succeeds.

    Raises:
        Invalid: it is another password.
        TooMany: too many guesses.
    """
    taken = limits.take(limits.LOGIN, user.email)
    with limits.back_when_busy(taken):
        right = passwords.matches(user.password_hash, password)
    if not right or taken.barred:
        with transaction():
            audit.record("password.refused", object_type="user", object_id=user.id)
        raise invalid_field(pointer, "Is not your password.")
    return taken


def change(user: Any, *, password_hash: str, revoke_api_keys: bool) -> None:
    """Give an account a new password; its owner has proven that they know the one before.

    Raises:
        Conflict: its password was changed meanwhile.
    """
    if not _set(user, _users.c.password_hash == user.password_hash, password_hash=password_hash):
        raise Conflict("The password was changed meanwhile; sign in with the new one.")
    _tell(user, "password.changed", revoke_api_keys=revoke_api_keys)


def _set(user: Any, condition: Any, **values: Any) -> bool:
    """Write the new password; all links and tokens of the epoch before are dead with it."""
    statement = update(_users).where(_users.c.id == user.id, _users.c.epoch == user.epoch, condition, _users.c.active)
    dead = dict.fromkeys(("reset_nonce", "email_nonce", "new_email"))
    newer = {"epoch": _users.c.epoch + 1, "version": _users.c.version + 1, "updated_at": clock.now()}
    changed = statement.values(**values, **dead, **newer).returning(_users.c.id)
    return db.session.execute(changed).one_or_none() is not None


def _tell(user: Any, act: str, *, revoke_api_keys: bool) -> None:
    """End every session, forget failed logins, and have the owner told."""
    limits.forgive_all(user.email)
    events.publish(AccessRevoked(user.id))
    events.publish(PasswordChanged(user.id))
    if revoke_api_keys:
        events.publish(ApiKeysRevoked(user.id))
    audit.record(act, object_type="user", object_id=user.id)
