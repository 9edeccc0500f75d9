"""What a person does with their API keys: make, roll, revoke; each verb writes in the caller's transaction.

All but `revoke` take the lock of the owner's row first, so that a key made at the moment at which all keys end is
either refused or ended with the others.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, delete, func, insert, select, update

from delivery import audit, clock, events
from delivery.auth import key_secrets
from delivery.auth.events import ApiKeyCreated, ApiKeysRevoked
from delivery.auth.models import ApiKey, AuthSession
from delivery.auth.queries import LIVE, LIVE_KEY
from delivery.auth.states import Scope
from delivery.database import db, new_id, now
from delivery.errors import Conflict, Forbidden, Unauthorized, invalid_field
from delivery.users.models import User
from delivery.web import Caller, Expected

AT_MOST = 50
_keys = ApiKey.__table__


def create(
    by: Caller, *, name: str, scopes: Iterable[Scope], expires_at: datetime | None, test: bool = False
) -> tuple[Row[Any], str]:
    """Make a key, a test key on request; returns it and its secret, which nobody can read again.

    Publishes ApiKeyCreated.

    Raises:
        Conflict: the owner has AT_MOST keys that work already.
        Forbidden: the owner's address is not confirmed.
        Invalid: it would expire in the past.
        Unauthorized: the session ended meanwhile.
    """
    if expires_at is not None and expires_at <= clock.now():
        raise invalid_field("/expires_at", "Must lie in the future.")
    _lock(_owner(by))
    made, secret = _insert(by, name=name, scopes=sorted(set(scopes)), expires_at=expires_at, test=test)
    _check(by)
    audit.record("api_key.created", object_type="api_key", object_id=made.id, scopes=made.scopes, test=test)
    events.publish(ApiKeyCreated(made.user_id, made.id))
    return made, secret


def roll(by: Caller, key: Any, *, overlap_seconds: int, expected: Expected) -> tuple[Row[Any], str]:
    """Replace a key by a new one that may do the same; the old one works until the overlap ends.

    Publishes ApiKeyCreated.

    Raises:
        Conflict: the old one does not work any more or was rolled before, or there would be too many.
        Forbidden: the owner's address is not confirmed.
        PreconditionFailed: it changed since the caller read it.
        Unauthorized: the session ended meanwhile.
    """
    expected.check(key.version)
    _lock(_owner(by))
    made, secret = _insert(by, name=key.name, scopes=key.scopes, expires_at=key.expires_at, test=key.test)
    end = now(plus=overlap_seconds)
    statement = (
        update(_keys)
        .where(_keys.c.id == key.id, _keys.c.version == key.version, _keys.c.rolled_at.is_(None), LIVE_KEY)
        .values(
            rolled_at=clock.now(),
            replaced_by=made.id,
            expires_at=case((_keys.c.expires_at < end, _keys.c.expires_at), else_=end),
            version=_keys.c.version + 1,
        )
    )
    if db.session.execute(statement.returning(_keys.c.id)).one_or_none() is None:
        raise Conflict("This key was rolled, was revoked or has expired.", code="key_ended")
    _check(by)
    audit.record(
        "api_key.rolled",
        object_type="api_key",
        object_id=key.id,
        replaced_by=str(made.id),
        overlap_seconds=overlap_seconds,
    )
    events.publish(ApiKeyCreated(made.user_id, made.id))
    return made, secret


def revoke(key: Any, *, expected: Expected) -> None:
    """End a key at once; one that has ended already stays as it is.

    Raises:
        PreconditionFailed: it changed since the caller read it.
    """
    expected.check(key.version)
    _revoke(_keys.c.id == key.id)


def revoke_all(user_id: UUID) -> int:
    """End all keys of a user at once; returns how many still worked."""
    _lock(user_id)
    return _revoke(_keys.c.user_id == user_id, LIVE_KEY)


def end_all(fact: ApiKeysRevoked) -> None:
    """End all keys of a user."""
    revoke_all(fact.user_id)


def forget(user_id: UUID) -> None:
    """Delete somebody's keys: what they are called may tell of people. The audit log knows what they were."""
    db.session.execute(delete(_keys).where(_keys.c.user_id == user_id))


def _revoke(*which: Any) -> int:
    statement = (
        update(_keys)
        .where(*which, _keys.c.revoked_at.is_(None))
        .values(revoked_at=clock.now(), version=_keys.c.version + 1)
    )
    ended = db.session.execute(statement.returning(_keys.c.id, _keys.c.user_id)).all()
    for key in ended:
        audit.record("api_key.revoked", object_type="api_key", object_id=key.id, user_id=str(key.user_id))
    return len(ended)


def _owner(by: Caller) -> UUID:
    assert by.id is not None  # noqa: S101  # the policy lets in nobody but a person
    return by.id


def _lock(user_id: UUID) -> None:
    db.session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _insert(by: Caller, **fields: Any) -> tuple[Row[Any], str]:
    secret = key_secrets.new_secret(prefix=key_secrets.TEST if fields["test"] else key_secrets.LIVE)
    values = {
        **fields, "id": new_id(), "user_id": by.id, "version": 1, "created_at": clock.now(),
        "hint": key_secrets.hint_of(secret), "hash": key_secrets.digest_of(secret),
    }  # fmt: skip
    made = db.session.execute(insert(_keys).values(values).returning(*_keys.c)).one()
    return made, secret


def _check(by: Caller) -> None:
    """Look, now that nobody else can make or end one, whether the owner may have what was written."""
    mine = select(func.count()).where(_keys.c.user_id == by.id, LIVE_KEY).scalar_subquery()
    session = LIVE.where(AuthSession.id == by.session_id).exists()
    owner = select(User.email_verified_at).where(User.id == by.id).scalar_subquery()
    count, signed_in, verified_at = db.session.execute(select(mine, session, owner)).one()
    if not signed_in:
        raise Unauthorized(
            "Your session ended at this moment; sign in again.", challenge='Bearer error="invalid_token"'
        )
    if verified_at is None:
        # Whoever registered somebody else's address would leave a key behind for when its owner comes.
        raise Forbidden(
            "Confirm your address first: POST /api/auth/request-verification mails a link.", code="email_unverified"
        )
    if count > AT_MOST:
        raise Conflict(f"There are {AT_MOST} keys that work already; revoke one first.", code="too_many_keys")
