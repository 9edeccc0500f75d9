"""Invitations: sent by an admin, accepted once by whoever has the mail, or revoked; the newest link alone works."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, String, case, func, literal, or_, select, update

from delivery import audit, clock, events, idempotency
from delivery.auth.events import InvitationSent
from delivery.auth.models import Invitation
from delivery.auth.states import InvitationState
from delivery.database import db, new_id, now, reader, upsert
from delivery.errors import Conflict
from delivery.tokens import MAX_AGE_SECONDS, Purpose, invalid_token, read
from delivery.users import services as users
from delivery.users.events import UserErased
from delivery.users.models import User
from delivery.users.states import Role
from delivery.web import Expected

KEPT_SECONDS = 30 * 24 * 3600
_invitations = Invitation.__table__
_all = _invitations.c
_WAITS = (_all.accepted_at.is_(None), _all.revoked_at.is_(None))
_IN_STATE: dict[InvitationState, Sequence[Any]] = {
    InvitationState.OPEN: (*_WAITS, _all.expires_at > now()),
    InvitationState.EXPIRED: (*_WAITS, _all.expires_at <= now()),
    InvitationState.ACCEPTED: (_all.accepted_at.is_not(None),),
    InvitationState.REVOKED: (_all.revoked_at.is_not(None),),
}

# Whoever may not invite any more has not invited: an open link must not outlive the admin who sent it.
_ADMINS = select(User.id).where(User.active, User.role == Role.ADMIN)
_STANDS = (*_IN_STATE[InvitationState.OPEN], or_(_all.invited_by.is_(None), _all.invited_by.in_(_ADMINS)))


def state_of(row: Row[Any]) -> InvitationState:
    """Return what became of an invitation; `row` has its columns."""
    if row.accepted_at:
        return InvitationState.ACCEPTED
    if row.revoked_at:
        return InvitationState.REVOKED
    return InvitationState.OPEN if row.expires_at > clock.now() else InvitationState.EXPIRED


def invitations(*, after: UUID | None, limit: int, state: InvitationState | None = None) -> Sequence[Row[Any]]:
    """Return invitations, the newest first, beginning after an id."""
    query = select(*_all)
    if state:
        query = query.where(*_IN_STATE[state])
    if after:
        query = query.where(_all.id < after)
    return reader().execute(query.order_by(_all.id.desc()).limit(limit)).all()


def invite(*, email: str, role: Role, name: str | None = None, by: UUID | None = None) -> Row[Any]:
    """Invite somebody who has no account; an older invitation of the same address ends.

    Publishes InvitationSent.

    Raises:
        Conflict: the address has an account, or somebody else is inviting it at this moment.
    """
    if db.session.execute(select(User.id).where(User.email == email)).first():
        raise Conflict("A user with this address exists.", code="email_taken")
    older = update(_invitations).where(_all.email == email, *_WAITS).values(_revoked()).returning(_all.id)
    replaced = db.session.execute(older).scalar_one_or_none()
    row = {"id": new_id(), "email": email, "role": role, "name": name, "invited_by": by, "version": 1}
    row |= {"nonce": secrets.token_hex(16), "created_at": clock.now()}
    statement = upsert(_invitations).values(**row, expires_at=now(plus=MAX_AGE_SECONDS[Purpose.INVITATION]))
    made = db.session.execute(statement.on_conflict_do_nothing().returning(*_all)).one_or_none()
    if made is None:
        raise Conflict("Somebody else is inviting this address at this moment.", code="lost_race")
    _record("invitation.sent", made.id, role=role, replaces=replaced and str(replaced))
    events.publish(InvitationSent(made.id))
    return made


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return what InvitationOut documents; `row` has an invitation's columns."""
    body = {name: value for name, value in row._mapping.items() if name != "nonce"}  # noqa: SLF001  # public by its documentation
    return {**body, "state": state_of(row)}


def revoke(invitation_id: UUID, *, expected: Expected) -> None:
    """End an invitation: its link is dead. One that was revoked before stays so.

    Raises:
        Conflict: it was accepted; there is an account to deactivate.
        PreconditionFailed: changed meanwhile.
    """
    # None is ever deleted: what access found is still there.
    seen = db.session.execute(select(*_all).where(_all.id == invitation_id).with_for_update()).one()
    expected.check(seen.version)
    if seen.accepted_at:
        raise Conflict("It has been accepted; deactivate the account instead.", code="invitation_accepted")
    if not seen.revoked_at:
        db.session.execute(update(_invitations).where(_all.id == invitation_id).values(_revoked()))
        _record("invitation.revoked", invitation_id)


def open_one(token: str) -> Row[Any]:
    """Return the columns of the invitation that a link is for; reads only.

    Raises:
        Malformed: forged, too old, used, revoked, replaced by a newer one, or sent by who is no active admin now.
    """
    claims = read(Purpose.INVITATION, token)
    this = (_all.id == UUID(claims["id"]), _all.nonce == claims["nonce"], *_STANDS)
    found = reader().execute(select(*_all).where(*this)).one_or_none()
    if found is None:
        raise invalid_token()
    return found


def accept(invitation: Row[Any], *, name: str, password_hash: str) -> Row[Any]:
    """Make the account that an invitation is for, verified already: whoever has the mail has the address.

    Raises:
        Malformed: it was accepted, revoked or replaced meanwhile, its sender is no active admin any more, or the
            address has an account by now.
    """
    this = (_all.id == invitation.id, _all.nonce == invitation.nonce, *_STANDS)
    accepted = update(_invitations).where(*this).values(accepted_at=clock.now(), version=_all.version + 1)
    found = db.session.execute(accepted.returning(_all.id, _all.email, _all.role)).one_or_none()
    if found is None:
        raise invalid_token()
    try:
        user = users.create(email=found.email, role=found.role, name=name, password_hash=password_hash)
    except Conflict:
        raise invalid_token() from None
    db.session.execute(update(_invitations).where(_all.id == found.id).values(user_id=user.id))
    _record("invitation.accepted", found.id, user_id=str(user.id))
    return user


def forget(fact: UserErased) -> None:
    """Take an erased person off the invitations to their address; an open one ends."""
    idempotency.forget_mentions(_forget(or_(_all.user_id == fact.user_id, _all.email == literal(fact.email, String()))))


def forget_address(email: str, *, before: datetime | None = None) -> Sequence[UUID]:
    """Take whoever has an address off the invitations to it that are not newer; returns which they were.

    An open one ends.
    """
    return _forget(_all.email == email, *([_all.created_at <= before] if before else []))


def _forget(*theirs: ColumnElement[bool]) -> Sequence[UUID]:
    ended = case((_all.accepted_at.is_(None), func.coalesce(_all.revoked_at, clock.now())))
    cleared = update(_invitations).where(*theirs).values(email=None, name=None, revoked_at=ended)
    return db.session.execute(cleared.returning(_all.id)).scalars().all()


def purge(limit: int) -> int:
    """Take the address off up to `limit` invitations that ended 30 days ago; returns how many there were."""
    ended = func.coalesce(_all.accepted_at, _all.revoked_at, _all.expires_at)
    due = select(_all.id).where(_all.email.is_not(None), ended < now(plus=-KEPT_SECONDS)).limit(limit).cte("due")
    cleared = update(_invitations).where(_all.id.in_(select(due.c.id))).values(email=None, name=None)
    return len(db.session.execute(cleared.returning(_all.id)).all())


def _revoked() -> dict[str, Any]:
    return {"revoked_at": clock.now(), "version": _all.version + 1}


def _record(act: str, invitation_id: UUID, **details: Any) -> None:
    audit.record(act, object_type="invitation", object_id=invitation_id, **details)
