"""Proving that an address is one's own, and having another one."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.expression import BindParameter, bindparam

from delivery import audit, clock, events
from delivery.auth.events import EmailChanged, EmailChangeRequested, VerificationRequested
from delivery.database import db, delete_some, new_id, now
from delivery.notifications.queries import followed
from delivery.tokens import Purpose, invalid_token, read
from delivery.users.models import FormerEmail, User

_users, _former = User.__table__, FormerEmail.__table__
# The mail about a change lives for a day; somebody may have it sent again.
FORMER_KEPT_SECONDS = 7 * 24 * 3600
# With = and no IS NULL: a claim without a nonce finds nobody.
_OF_EPOCH = (_users.c.id == bindparam("uid"), _users.c.epoch == bindparam("claimed_epoch"), _users.c.active)
_NONCE: BindParameter[str] = bindparam("nonce")
VERIFY = "verify_email"
# After all others: a link from before links said which request they answer.
_LAST = "f" * 32


def request_verification(email: str) -> None:
    """Have a fresh link sent to an unverified address; older links stop working, because a newer message is there.

    For any other address the same is written, to nobody: the answer's time does not tell which addresses wait.
    """
    waiting = select(_users.c.id).where(_users.c.email == email, _users.c.email_verified_at.is_(None), _users.c.active)
    somebody = func.coalesce(waiting.scalar_subquery(), literal(new_id()))
    events.publish(VerificationRequested(db.session.execute(select(somebody)).scalar_one()))


def verify(token: str) -> None:
    """Mark the address as verified that a link was sent to.

    Raises:
        Malformed: forged, too old, used, or a newer one was asked for.
    """
    claims = read(Purpose.VERIFY_EMAIL, token)
    asked = UUID(claims.get("asked", _LAST))
    statement = (
        update(_users)
        .where(*_OF_EPOCH, _users.c.verify_nonce == _NONCE, _users.c.email_verified_at.is_(None))
        .where(~followed(_users.c.id, VERIFY, asked))
        .values(email_verified_at=clock.now(), verify_nonce=None, version=_users.c.version + 1, updated_at=clock.now())
    )
    user = db.session.execute(statement.returning(_users.c.id), _named(claims)).one_or_none()
    if user is None:
        raise invalid_token()
    audit.record("email.verified", object_type="user", object_id=user.id)


def request_change(user_id: UUID, email: str) -> None:
    """Have a link sent to the address that somebody wants to have; older links stop working.

    Whose address it is now is not looked at before the mail is sent: nobody learns it from the answer or its time.
    """
    statement = update(_users).where(_users.c.id == user_id)
    db.session.execute(statement.values(new_email=email, email_nonce=secrets.token_hex(16)))
    audit.record("email.change_requested", object_type="user", object_id=user_id)
    events.publish(EmailChangeRequested(user_id))


def confirm_change(token: str) -> None:
    """Give an account the address that a link was sent to; links to the one before are dead.

    Raises:
        Malformed: forged, too old, used, replaced by a newer link, or the address is somebody's meanwhile.
    """
    query = select(_users.c.id, _users.c.email, _users.c.new_email).where(*_OF_EPOCH, _users.c.email_nonce == _NONCE)
    user = db.session.execute(query.with_for_update(), _named(read(Purpose.CHANGE_EMAIL, token))).one_or_none()
    if user is None:
        raise invalid_token()
    values = {"email": user.new_email, "email_verified_at": clock.now(), "updated_at": clock.now()}
    dead = dict.fromkeys(("new_email", "email_nonce", "verify_nonce", "reset_nonce"))
    statement = update(_users).where(_users.c.id == user.id)
    try:
        db.session.execute(statement.values(**values, **dead, version=_users.c.version + 1))
    except IntegrityError:  # one account an address
        raise invalid_token() from None
    _remember(user)


def _remember(user: Any) -> None:
    """Keep the address before: whoever reads mail there must hear of the change."""
    former_id = new_id()
    row = {"id": former_id, "user_id": user.id, "email": user.email, "changed_at": clock.now()}
    db.session.execute(insert(_former).values(row))
    audit.record("email.changed", object_type="user", object_id=user.id)
    events.publish(EmailChanged(user.id, former_id))


def forget(email: str, *, before: datetime | None = None) -> tuple[Sequence[UUID], Sequence[UUID]]:
    """Forget an address wherever it is not an account's own; returns who wanted to have it, and who had it before.

    A link to it is dead then. When somebody began to want it is not known: `before` is about former ones.
    """
    wanted = update(_users).where(_users.c.new_email == email).values(new_email=None, email_nonce=None)
    not_newer = [_former.c.changed_at <= before] if before else []
    former = delete(_former).where(_former.c.email == email, *not_newer)
    return (
        db.session.execute(wanted.returning(_users.c.id)).scalars().all(),
        db.session.execute(former.returning(_former.c.user_id)).scalars().all(),
    )


def purge(limit: int) -> int:
    """Delete up to `limit` addresses that people had before; returns how many there were."""
    return delete_some(_former.c.id, _former.c.changed_at < now(plus=-FORMER_KEPT_SECONDS), limit=limit)


def _named(claims: dict[str, Any]) -> dict[str, Any]:
    return {"uid": UUID(claims["uid"]), "claimed_epoch": claims["epoch"], "nonce": claims["nonce"]}
