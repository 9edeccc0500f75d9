"""What can be done to a delivery: each verb changes it, appends to its history and publishes a fact.

They run in the caller's transaction. Every change raises the version by one and appends one event with that seq.
"""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row, select, update

from delivery import clock, events
from delivery.database import db
from delivery.deliveries import history, tagging
from delivery.deliveries.access import Permit, check
from delivery.deliveries.creating import check_owner, check_reference
from delivery.deliveries.events import DeliveryDeleted, DeliveryEdited, told_of
from delivery.deliveries.models import Delivery
from delivery.deliveries.queries import COLUMNS, DELIVERY_BY_ID, OWNER_SWITCHES
from delivery.deliveries.states import DELETABLE, TERMINAL, State
from delivery.errors import Conflict, lost_race
from delivery.users.events import UserErased, UserLeft
from delivery.users.models import User
from delivery.web import SYSTEM, Caller, Expected

_deliveries, _users = Delivery.__table__, User.__table__
FINISHED = "A finished delivery cannot be edited."


def edit(
    permit: Permit, *, expected: Expected, tags: list[str] | None = None, quiet: bool = False, **fields: Any
) -> Any:
    """Change what a delivery says; its state changes only by a move. `quiet`: people are not told.

    Raises:
        Conflict: it is finished, or its owner has another delivery with this reference.
        Forbidden: a new owner, and the caller is no dispatcher.
        PreconditionFailed: it changed since the caller read it.
        Invalid: no such owner.
    """
    seen = _locked(permit)
    expected.check(seen.version)
    if seen.status in TERMINAL:
        raise Conflict(FINISHED, code="finished")
    if not fields and tags is None:
        return seen
    owner_id = fields.get("owner_id", seen.owner_id)
    if owner_id != seen.owner_id:
        check_owner(permit.caller, owner_id)
    reference = fields.get("reference", seen.reference)
    if (owner_id, reference) != (seen.owner_id, seen.reference):
        check_reference(owner_id, reference, test=seen.test)
    changed = _write(seen, tags=tags, **fields)
    if tags is not None:  # after the reference, in the order of create_many()
        tagging.replace_tags(seen.id, tags)
    _append(changed, seen, kind="edited", by=permit.caller)
    events.publish(DeliveryEdited(**told_of(changed), quiet=quiet))
    return changed


def delete(permit: Permit, *, expected: Expected) -> None:
    """Delete a delivery that has not been picked up; its history stays.

    Raises:
        Conflict: it has been picked up, or is past that.
        PreconditionFailed: it changed since the caller read it.
    """
    seen = _locked(permit)
    expected.check(seen.version)
    if seen.picked_up_at is not None or seen.status not in DELETABLE:
        raise Conflict("Only a delivery that has not been picked up can be deleted.", code="picked_up")
    changed = _write(seen, deleted_at=clock.now())
    _append(changed, seen, kind="edited", by=permit.caller, reason_code="deleted")
    events.publish(DeliveryDeleted(**told_of(changed)))


def hold_back(fact: UserLeft) -> None:
    """Object while somebody who leaves has open deliveries; drafts are none.

    Raises:
        Conflict: open deliveries.
    """
    mine = (_deliveries.c.owner_id == fact.user_id) | (_deliveries.c.courier_id == fact.user_id)
    is_open = (_deliveries.c.status.not_in(sorted(TERMINAL | {State.DRAFT})), _deliveries.c.deleted_at.is_(None))
    if db.session.execute(select(_deliveries.c.id).where(mine, ~_deliveries.c.test, *is_open).limit(1)).first():
        raise Conflict("There are open deliveries; finish, cancel or reassign them first.", code="open_deliveries")


def delete_drafts(fact: UserErased) -> None:
    """Delete the drafts of somebody who was erased; their row is locked, so that whoever moves a draft waits for us.

    Raises:
        Conflict: somebody is changing a draft at this moment; to wait for them would be to wait for each other.
    """
    drafts = (_deliveries.c.owner_id == fact.user_id, _deliveries.c.status == State.DRAFT)
    alive = (*drafts, _deliveries.c.deleted_at.is_(None))
    free = select(*COLUMNS).where(*alive).with_for_update(of=_deliveries, skip_locked=True)
    for row in db.session.execute(free).all():
        _append(_write(row, deleted_at=clock.now()), row, kind="edited", by=SYSTEM, reason_code="owner_left")
    if db.session.execute(select(_deliveries.c.id).where(*alive).limit(1)).first():
        raise Conflict("A draft is being changed at this moment; try again.", code="lost_race")


def _locked(permit: Permit) -> Row[Any]:
    """Read the delivery again, now that nobody else can change it, and check again."""
    row = db.session.execute(_LOCKED, {"id": permit.delivery_id}).one_or_none()
    check(permit.caller, row, permit.may)
    assert row is not None  # noqa: S101  # check() has refused
    return row


_LOCKED = DELIVERY_BY_ID.with_for_update(of=_deliveries)


def _write(seen: Any, *, tags: list[str] | None = None, **values: Any) -> Any:
    """Write the next version and return it as queries.COLUMNS would; the check is the write."""
    statement = (
        update(_deliveries)
        .where(_deliveries.c.id == seen.id, _deliveries.c.version == seen.version)
        .values(**values, version=seen.version + 1, updated_at=clock.now())
        .returning(*_deliveries.c, OWNER_SWITCHES)
    )
    changed = db.session.execute(statement).one_or_none()
    if changed is None:
        raise lost_race()
    return SimpleNamespace(**changed._mapping, tags=seen.tags if tags is None else tags)  # noqa: SLF001  # public by its documentation


def _append(changed: Any, seen: Any, *, kind: str, by: Caller, **details: Any) -> None:
    history.append(
        changed.id, seq=changed.version, kind=kind, from_state=seen.status, to_state=changed.status, by=by, **details
    )
