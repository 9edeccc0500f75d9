"""What can be done to accounts; each verb writes in the caller's transaction."""

import secrets
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, select, update

from delivery import audit, clock, events, limits
from delivery.database import db, new_id, upsert
from delivery.errors import Conflict, NotFound, Unavailable
from delivery.users.events import AccessRevoked, AddressTaken, UserErased, UserLeft, UserRegistered
from delivery.users.models import FormerEmail, User
from delivery.users.states import Role
from delivery.web import Expected

_users = User.__table__
FIRST_ADMIN = "admin@example.com"


def register(*, name: str, email: str, password_hash: str, **fields: Any) -> None:
    """Add a customer unless the address is taken, and have its owner told either way.

    Publishes UserRegistered or AddressTaken; both paths cost the same statements, a look at the address included, so
    that the answer's time does not tell which addresses exist (tests/auth/test_no_enumeration.py measures it).
    """
    added = _insert_unless_taken(name=name, email=email, password_hash=password_hash, **fields)
    user_id = db.session.execute(select(_users.c.id).where(_users.c.email == email)).scalar_one_or_none()
    if user_id is None:
        raise Unavailable("The address became free at this moment; try again.")
    _record("user.registered" if added else "user.registration_refused", user_id)
    events.publish(UserRegistered(user_id) if added else AddressTaken(user_id))


def create(*, email: str, **fields: Any) -> Row[Any]:
    """Add a user for an admin, verified already.

    Raises:
        Conflict: the address is taken.
    """
    user_id = _insert_unless_taken(email=email, email_verified_at=clock.now(), **fields)
    if not user_id:
        raise Conflict("A user with this address exists.", code="email_taken")
    made = _by_id(user_id)
    _record("user.created", user_id, role=made.role)
    return made


def ensure_first_admin(*, password_hash: str) -> bool:
    """Add the first admin where there is no admin yet; two processes at once make one."""
    if db.session.execute(select(User.id).where(User.role == Role.ADMIN).limit(1)).first():
        return False
    fields = {"name": "Admin", "email": FIRST_ADMIN, "password_hash": password_hash, "role": Role.ADMIN}
    user_id = _insert_unless_taken(**fields, email_verified_at=clock.now(), first_admin=True)
    if user_id:
        _record("user.created", user_id, role=Role.ADMIN)
    return bool(user_id)


def change(user_id: UUID, *, expected: Expected, **fields: Any) -> Row[Any]:
    """Change a user's own words, and, for an admin, the role or whether the account is active.

    Publishes AccessRevoked when the role changed or the account was deactivated: open sessions end.

    Raises:
        Conflict: nobody would be left who is an admin.
        NotFound: erased meanwhile.
        PreconditionFailed: changed meanwhile.
    """
    admins = _locked_admins() if fields.keys() & {"role", "active"} else set()
    seen = _locked(user_id)
    expected.check(seen.version)
    if not fields:
        return seen
    revoked = fields.get("role", seen.role) != seen.role or (seen.active and fields.get("active") is False)
    if revoked:
        _keep_one(admins, seen)
    values = {**fields, "version": seen.version + 1, "updated_at": clock.now(), "epoch": seen.epoch + revoked}
    statement = update(_users).where(_users.c.id == user_id).values(values).returning(*_users.c)
    changed = db.session.execute(statement).one()
    _record_change(seen, fields)
    if revoked:
        events.publish(AccessRevoked(user_id))
    return changed


def end_sessions(user_id: UUID | None) -> None:
    """End every session and every link of a user, who may sign in again.

    Publishes AccessRevoked.

    Raises:
        NotFound: erased meanwhile.
    """
    seen = _locked(user_id)
    db.session.execute(update(_users).where(_users.c.id == seen.id).values(epoch=seen.epoch + 1))
    events.publish(AccessRevoked(seen.id, in_itself=True))


def unlock(user_id: UUID) -> None:
    """Forget the failed logins of a user, who then need not wait for the limits.

    Raises:
        NotFound: erased meanwhile.
    """
    limits.forgive_all(_locked(user_id).email)
    _record("user.unlocked", user_id)


def erase(user_id: UUID, *, expected: Expected) -> None:
    """Turn a user into a pseudonym: the row stays, because deliveries refer to it; everything personal goes.

    Publishes UserLeft, to which deliveries object while some are open, then UserErased and AccessRevoked.

    Raises:
        Conflict: deliveries are open, or nobody would be left who is an admin.
        NotFound: erased meanwhile.
        PreconditionFailed: changed meanwhile.
    """
    admins = _locked_admins()
    seen = _locked(user_id)
    expected.check(seen.version)
    _keep_one(admins, seen)
    events.publish(UserLeft(user_id))
    _forget(seen)


def erase_again(user_id: UUID) -> None:
    """Erase somebody whom a restored backup brought back; what was open then is no reason to keep them.

    Raises:
        Conflict: nobody would be left who is an admin.
        NotFound: there is no such user, or no longer.
    """
    admins = _locked_admins()
    seen = _locked(user_id)
    _keep_one(admins, seen)
    _forget(seen)


def _forget(seen: Row[Any]) -> None:
    now = clock.now()
    nothing = {"email": None, "phone": None, "password_hash": "", "active": False, "first_admin": False}
    nothing |= {"locale": "en", "time_zone": "UTC", "email_verified_at": None, "new_email": None}
    nothing |= dict.fromkeys(("verify_nonce", "reset_nonce", "email_nonce"))
    gone = {"epoch": seen.epoch + 1, "version": seen.version + 1, "updated_at": now, "erased_at": now}
    db.session.execute(update(_users).where(_users.c.id == seen.id).values(name="Erased user", **nothing, **gone))
    db.session.execute(delete(FormerEmail).where(FormerEmail.user_id == seen.id))
    audit.record("user.erased", object_type="user", object_id=seen.id)
    events.publish(AccessRevoked(seen.id))
    events.publish(UserErased(seen.id, seen.email))


def _locked_admins() -> set[UUID]:
    """Lock all admins, in one order and before anybody else, so that two cannot take each other away."""
    admins = select(_users.c.id).where(_users.c.role == Role.ADMIN, _users.c.active).order_by(_users.c.id)
    return set(db.session.execute(admins.with_for_update()).scalars())


def _keep_one(admins: set[UUID], leaver: Row[Any]) -> None:
    if admins == {leaver.id}:
        raise Conflict("This is the last admin; make another one first.", code="last_admin")


def seed(rows: list[dict[str, Any]]) -> int:
    """Add many users in one statement; those whose address is taken are left out. Returns how many were added."""
    now = clock.now()
    filled = [{**_defaults(now), **row, "id": new_id()} for row in rows]
    statement = upsert(_users).on_conflict_do_nothing().returning(_users.c.id)
    added = len(db.session.execute(statement, filled).all())
    if added:
        audit.record("user.seeded", count=added)
    return added


def _record(act: str, user_id: UUID, **details: Any) -> None:
    audit.record(act, object_type="user", object_id=user_id, **details)


def _record_change(seen: Row[Any], fields: dict[str, Any]) -> None:
    """Write down what became different, an act for each kind: whoever looks for a new admin searches for one word."""
    names = sorted(name for name, value in fields.items() if value != getattr(seen, name))
    words = [name for name in names if name not in {"role", "active"}]
    if "role" in names:
        _record("user.role_changed", seen.id, **{"from": seen.role, "to": fields["role"]})
    if "active" in names:
        _record("user.activated" if fields["active"] else "user.deactivated", seen.id)
    if words:
        _record("user.changed", seen.id, fields=words)


def _insert_unless_taken(**fields: Any) -> UUID | None:
    statement = upsert(_users).values({**_defaults(clock.now()), **fields}).on_conflict_do_nothing()
    user_id: UUID | None = db.session.execute(statement.returning(_users.c.id)).scalar_one_or_none()
    return user_id


def _defaults(now: Any) -> dict[str, Any]:
    return {
        "id": new_id(),
        "role": Role.CUSTOMER,
        "verify_nonce": secrets.token_hex(16),
        "created_at": now,
        "updated_at": now,
    }


def _by_id(user_id: UUID) -> Row[Any]:
    return db.session.execute(select(*_users.c).where(_users.c.id == user_id)).one()


def _locked(user_id: UUID | None) -> Row[Any]:
    query = select(*_users.c).where(_users.c.id == user_id, _users.c.erased_at.is_(None)).with_for_update()
    row = db.session.execute(query).one_or_none()
    if row is None:
        raise NotFound
    return row
