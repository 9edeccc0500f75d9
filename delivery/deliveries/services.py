"""What can be done to a delivery: each verb changes it, appends to its history and publishes a fact.

They run in the caller's transaction. Every change raises the version by one and appends one event with that seq.
"""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from delivery import clock, events
from delivery.database import backend, db, new_id
from delivery.deliveries import history, tagging
from delivery.deliveries.access import Permit, check, parts_of
from delivery.deliveries.events import DeliveryCreated, DeliveryDeleted, DeliveryEdited, DeliveryMoved
from delivery.deliveries.models import Delivery
from delivery.deliveries.queries import COLUMNS, DELIVERY_BY_ID, OWNER_SWITCHES
from delivery.deliveries.states import AFTER_PICKUP, DELETABLE, TERMINAL, State, allowed, is_legal
from delivery.deliveries.tracking_numbers import new_number
from delivery.errors import Conflict, Forbidden, invalid_field, invalid_fields
from delivery.users.events import UserErased, UserLeft
from delivery.users.models import User
from delivery.users.states import Role
from delivery.web import SYSTEM, Caller, Expected

_deliveries, _users = Delivery.__table__, User.__table__
_CLOCK_SKEW = timedelta(minutes=5)
_EARLIEST = datetime(2000, 1, 1, tzinfo=clock.ZONE)  # before it, somebody's clock has never been set


def create(by: Caller, *, draft: bool, tags: list[str] | None = None, **fields: Any) -> Any:
    """Create a delivery, `pending` or a `draft`; returns what queries.COLUMNS would.

    Raises:
        Conflict: the owner has a delivery with this reference; `existing_id` names it.
        Forbidden: the owner is somebody else, and the caller is no dispatcher.
        Invalid: there is no such owner.
    """
    owner_id = fields.pop("owner_id", by.id)
    _check_owner(by, owner_id)
    now, status = clock.now(), State.DRAFT if draft else State.PENDING
    values: dict[str, Any] = {
        **_EMPTY, **fields, "id": new_id(), "owner_id": owner_id, "tracking_number": new_number(),
        "status": status, "test": by.test, "version": 1, "created_at": now, "updated_at": now,
    }  # fmt: skip
    owner_switches = _insert_once(values)
    history.append(values["id"], seq=1, kind="moved", from_state=None, to_state=status, by=by)
    tagging.add_tags(values["id"], tags or [])
    row = SimpleNamespace(**values, tags=tags, owner_switches=owner_switches)
    events.publish(DeliveryCreated(**_told(row)))
    return row


def move(
    permit: Permit,
    *,
    to: State,
    expected: Expected,
    courier_id: UUID | None = None,
    occurred_at: datetime | None = None,
    location: dict[str, float] | None = None,
    **words: str | None,
) -> Any:
    """Move a delivery to another state.

    Args:
        courier_id: with `assigned`, to whom; the present courier when not given.
        occurred_at: when it happened; now, when not given.
        words: reason_code, note, public_note.

    Raises:
        Conflict: the table of states has no such move from here; `allowed` lists what the caller may do.
        Forbidden: the move exists, but is not the caller's to make.
        PreconditionFailed: it changed since the caller read it.
        Invalid: no such courier, or a time in the future.
    """
    _check_meaning(to, courier_id=courier_id, occurred_at=occurred_at)
    seen = _locked(permit)
    expected.check(seen.version)
    _check_move(permit.caller, seen, to)
    occurred_at = occurred_at or clock.now()
    changed = _write(
        seen,
        status=to,
        courier_id=_courier_after(seen, to, courier_id),
        picked_up_at=seen.picked_up_at or (occurred_at if to in AFTER_PICKUP else None),
    )
    kind = "assigned" if to is State.ASSIGNED else "moved"
    position = location or {}
    _append(changed, seen, kind=kind, by=permit.caller, occurred_at=occurred_at, **words, **position)
    events.publish(DeliveryMoved(**_told(changed), from_status=seen.status))
    return changed


def edit(permit: Permit, *, expected: Expected, tags: list[str] | None = None, **fields: Any) -> Any:
    """Change what a delivery says; its state changes only by a move.

    Raises:
        Conflict: it is finished, or its owner has another delivery with this reference.
        Forbidden: a new owner, and the caller is no dispatcher.
        PreconditionFailed: it changed since the caller read it.
        Invalid: no such owner.
    """
    seen = _locked(permit)
    expected.check(seen.version)
    if seen.status in TERMINAL:
        raise Conflict("A finished delivery cannot be edited.", code="finished")
    if not fields and tags is None:
        return seen
    owner_id = fields.get("owner_id", seen.owner_id)
    if owner_id != seen.owner_id:
        _check_owner(permit.caller, owner_id)
    reference = fields.get("reference", seen.reference)
    if (owner_id, reference) != (seen.owner_id, seen.reference):
        _check_reference(owner_id, reference, test=seen.test)
    if tags is not None:
        tagging.replace_tags(seen.id, tags)
    changed = _write(seen, tags=tags, **fields)
    _append(changed, seen, kind="edited", by=permit.caller)
    events.publish(DeliveryEdited(**_told(changed)))
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
    events.publish(DeliveryDeleted(**_told(changed)))


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


def allowed_for(caller: Caller, row: Any) -> list[State]:
    """Return the states that a caller may move a delivery to now."""
    return allowed(State(row.status), parts_of(caller, row), picked_up=row.picked_up_at is not None)


_EMPTY: dict[str, Any] = dict.fromkeys(column.name for column in _deliveries.c if column.nullable)


# Statements that every request runs are built once: building one costs as much as running it.
_INSERT_ONCE = {
    name: insert(_deliveries)
    .on_conflict_do_nothing()  # by this reference; no index is named, so that a migration may change it
    .returning(_deliveries.c.id, OWNER_SWITCHES)
    for name, insert in (("sqlite", sqlite_insert), ("postgresql", postgresql_insert))
}


def _insert_once(values: dict[str, Any]) -> dict[str, Any] | None:
    """Write a new delivery, unless its reference is taken; returns what its owner has switched on and off."""
    written = db.session.execute(_INSERT_ONCE[backend()], values).one_or_none()
    if written is None:
        _check_reference(values["owner_id"], values["reference"], test=values["test"])
        raise Conflict("This reference is not free at this moment; try again.", code="lost_race")
    switches: dict[str, Any] | None = written.owner_switches
    return switches


def _check_reference(owner_id: UUID, reference: str | None, *, test: bool) -> None:
    columns = {"owner_id": owner_id, "test": test, "reference": reference}
    taken = select(_deliveries.c.id).filter_by(**columns, deleted_at=None)
    existing = db.session.execute(taken).scalar_one_or_none()
    if existing:
        detail = "The owner has a delivery with this reference already."
        raise Conflict(detail, code="duplicate_reference", existing_id=str(existing))


def _check_owner(by: Caller, owner_id: UUID) -> None:
    if owner_id != by.id and by.role not in {Role.DISPATCHER, Role.ADMIN}:
        raise Forbidden("Only a dispatcher or admin may set the owner.")
    if not _is_user(owner_id):
        raise invalid_field("/owner_id", "There is no such active user.")


def _check_move(caller: Caller, seen: Row[Any], to: State) -> None:
    may = allowed_for(caller, seen)
    if to in may:
        return
    if is_legal(State(seen.status), to, picked_up=seen.picked_up_at is not None):
        raise Forbidden("This move is not yours to make.", allowed=may)
    detail = f"A delivery that is {seen.status} cannot become {to}."
    raise Conflict(detail, code="illegal_move", **{"from": seen.status, "to": to, "allowed": may})


def _check_meaning(to: State, *, courier_id: UUID | None, occurred_at: datetime | None) -> None:
    """Refuse what no state of the delivery could make right."""
    wrong = {}
    if occurred_at and not _EARLIEST <= occurred_at <= clock.now() + _CLOCK_SKEW:
        wrong["/occurred_at"] = "Must lie in the past, and in this century."
    if courier_id is not None and to is not State.ASSIGNED:
        wrong["/courier_id"] = "Goes with a move to `assigned` only."
    if wrong:
        raise invalid_fields(wrong)


def _courier_after(seen: Row[Any], to: State, courier_id: UUID | None) -> UUID | None:
    if to is State.ASSIGNED:
        chosen: UUID | None = courier_id or seen.courier_id
        if chosen is None or not _is_user(chosen, role=Role.COURIER):
            raise invalid_field("/courier_id", "Must be the id of an active courier.")
        return chosen
    return None if to is State.PENDING else seen.courier_id


def _is_user(user_id: UUID, *, role: Role | None = None) -> bool:
    """Tell whether somebody is active, and keep them so until the commit: who leaves waits, and then finds us."""
    row = db.session.execute(_ACTIVE_USER, {"id": user_id}).one_or_none()
    return row is not None and role in {None, row.role}


def _locked(permit: Permit) -> Row[Any]:
    """Read the delivery again, now that nobody else can change it, and check again."""
    row = db.session.execute(_LOCKED, {"id": permit.delivery_id}).one_or_none()
    check(permit.caller, row, permit.may)
    assert row is not None  # noqa: S101  # check() has refused
    return row


_ACTIVE_USER = (
    select(_users.c.role)
    .where(_users.c.id == bindparam("id"), _users.c.active)
    .with_for_update(read=True, key_share=True)
)
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
        raise Conflict("Somebody else changed it at the same moment; read it again.", code="lost_race")
    return SimpleNamespace(**changed._mapping, tags=seen.tags if tags is None else tags)  # noqa: SLF001  # public by its documentation


def _append(changed: Any, seen: Any, *, kind: str, by: Caller, **details: Any) -> None:
    history.append(
        changed.id, seq=changed.version, kind=kind, from_state=seen.status, to_state=changed.status, by=by, **details
    )


def _told(row: Any) -> dict[str, Any]:
    return {
        "delivery_id": row.id,
        "seq": row.version,
        "status": row.status,
        "test": row.test,
        "owner_id": row.owner_id,
        "recipient_locale": row.recipient_locale,
        "recipient_has_email": row.recipient_email is not None,
        "recipient_has_phone": row.recipient_phone is not None,
        "switches": row.notifications or {},
        "owner_switches": row.owner_switches or {},
    }
