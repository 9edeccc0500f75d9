"""Creating deliveries, one or many: a few statements for all of them, and the same rules, history and facts for each.

In the caller's transaction.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import SimpleNamespace
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import bindparam, select, tuple_

from delivery import clock, events
from delivery.database import db, new_id
from delivery.deliveries import history, tagging
from delivery.deliveries.events import DeliveryCreated, told_of
from delivery.deliveries.models import Delivery
from delivery.deliveries.queries import OWNER_SWITCHES
from delivery.deliveries.states import State
from delivery.deliveries.tracking_numbers import new_numbers
from delivery.errors import AppError, Conflict, Forbidden, invalid_field
from delivery.rows import execute, insertion
from delivery.users.models import User
from delivery.users.states import Role
from delivery.web import Caller

_deliveries, _users = Delivery.__table__, User.__table__
# A new delivery, as queries.COLUMNS would show it, or why there is none.
Outcome: TypeAlias = SimpleNamespace | AppError
TAKEN = "The owner has a delivery with this reference already."
_EMPTY: dict[str, Any] = dict.fromkeys(column.name for column in _deliveries.c if column.nullable)


def create(by: Caller, **fields: Any) -> Any:
    """Create a delivery, `pending` or a `draft`; returns what queries.COLUMNS would.

    Raises:
        Conflict: the owner has a delivery with this reference; `existing_id` names it.
        Forbidden: the owner is somebody else, and the caller is no dispatcher.
        Invalid: there is no such owner.
    """
    [outcome] = create_many(by, [fields])
    if isinstance(outcome, AppError):
        raise outcome
    return outcome


def create_many(by: Caller, rows: Iterable[dict[str, Any]], *, quiet: bool = False) -> list[Outcome]:
    """Create deliveries; returns for each, in order, what create() would return, or the error it would raise.

    What can be created is; whoever wants all or nothing raises the first error. Of two with one reference the first
    is created, and the second's `existing_id` names it.

    Args:
        rows: for each its table's columns, `draft`, and what may be left out: `owner_id`, `tags`.
        quiet: people are told of none of them; programs are.
    """
    asked_for = list(rows)
    numbers = new_numbers(len(asked_for))
    new = [_new(by, tracking_number=number, **row) for row, number in zip(asked_for, numbers, strict=True)]
    refused = _refused_owners(by, {row["owner_id"] for row, _ in new})
    outcomes: list[Outcome | None] = [refused.get(row["owner_id"]) for row, _ in new]
    asked = [(row, tags) for (row, tags), outcome in zip(new, outcomes, strict=True) if outcome is None]
    switches = _insert([row for row, _ in asked])
    made = {
        row["id"]: SimpleNamespace(**row, tags=tags, owner_switches=switches[row["id"]])
        for row, tags in asked
        if row["id"] in switches
    }
    taken = _taken([row for row, _ in asked if row["id"] not in switches])
    _follow_up(by, list(made.values()), quiet=quiet)
    return [
        outcome or made.get(row["id"]) or _duplicate(taken.get(_name(row)))
        for (row, _), outcome in zip(new, outcomes, strict=True)
    ]


def _new(by: Caller, *, draft: bool, tags: list[str] | None = None, **fields: Any) -> tuple[dict[str, Any], Any]:
    now = clock.now()
    values = {
        **_EMPTY, "owner_id": by.id, **fields, "id": new_id(),
        "status": State.DRAFT if draft else State.PENDING, "test": by.test, "version": 1,
        "created_at": now, "updated_at": now,
    }  # fmt: skip
    return values, tags


def _follow_up(by: Caller, made: Sequence[Any], *, quiet: bool) -> None:
    """Begin the history of new deliveries, give them their tags, and publish what happened."""
    history.append_all(
        history.entry(row.id, seq=1, kind="moved", from_state=None, to_state=row.status, by=by) for row in made
    )
    tagging.add_tags({row.id: row.tags for row in made if row.tags})
    events.publish_all([DeliveryCreated(**told_of(row), quiet=quiet) for row in made])


def _insert(rows: Sequence[dict[str, Any]]) -> dict[UUID, dict[str, Any] | None]:
    """Write those whose reference is free; returns, by id, what their owners have switched on and off.

    In one order for all writers: whoever wants a reference that is being taken waits for its taker.
    """
    if not rows:
        return {}
    ordered = sorted(rows, key=_turn) if len(rows) > 1 else rows
    return {row.id: row.owner_switches for row in execute(_INSERT_ONCE, ordered)}


def _turn(row: dict[str, Any]) -> tuple[UUID, str, UUID]:
    return row["owner_id"], row["reference"] or "", row["id"]


def _name(row: Mapping[str, Any]) -> tuple[UUID, bool, str]:
    """Return what nobody else may have; tests and live deliveries have each their own."""
    return row["owner_id"], row["test"], row["reference"]


def _taken(rows: Collection[dict[str, Any]]) -> dict[tuple[UUID, bool, str], UUID]:
    """Return, by their names, which deliveries have the references of those that were not written."""
    if not rows:
        return {}
    wanted = {_name(row) for row in rows}
    found = db.session.connection().execute(_BY_REFERENCE, {"wanted": list(wanted)})
    return {_name(dict(row)): row["id"] for row in found.mappings()}


def _duplicate(existing: UUID | None) -> Conflict:
    if existing is None:
        return Conflict("Somebody else changed it at the same moment; try again.", code="lost_race")
    return Conflict(TAKEN, code="duplicate_reference", existing_id=str(existing))


def check_reference(owner_id: UUID, reference: str | None, *, test: bool) -> None:
    """Refuse a reference that one of the owner's deliveries has, or one of their tests.

    Raises:
        Conflict: `existing_id` names it.
    """
    for existing in _taken([{"owner_id": owner_id, "test": test, "reference": reference}]).values():
        raise _duplicate(existing)


def check_owner(by: Caller, owner_id: UUID) -> None:
    """Refuse an owner who is not there, or not the caller's to choose.

    Raises:
        Forbidden: somebody else, and the caller is no dispatcher.
        Invalid: no such user.
    """
    for error in _refused_owners(by, {owner_id}).values():
        raise error


def _refused_owners(by: Caller, owner_ids: AbstractSet[UUID]) -> dict[UUID, AppError]:
    """Return why somebody may not own what the caller makes; whoever may stays active until the commit."""
    refused: dict[UUID, AppError] = {}
    mine = owner_ids if by.role in {Role.DISPATCHER, Role.ADMIN} else owner_ids & {by.id}
    active = set(db.session.connection().execute(_ACTIVE_USERS, {"ids": list(mine)}).scalars())
    for owner_id in owner_ids - active:
        if owner_id in mine:
            refused[owner_id] = invalid_field("/owner_id", "There is no such active user.")
        else:
            refused[owner_id] = Forbidden("Only a dispatcher or admin may set the owner.")
    return refused


# Statements that every request runs are built once: building one costs as much as running it.
_INSERT_ONCE = {
    # by this reference; no index is named, so that a migration may change it
    name: insert.on_conflict_do_nothing().returning(_deliveries.c.id, OWNER_SWITCHES)
    for name, insert in insertion(_deliveries).items()
}
_NAME = (_deliveries.c.owner_id, _deliveries.c.test, _deliveries.c.reference)
_BY_REFERENCE = select(*_NAME, _deliveries.c.id).where(
    tuple_(*_NAME).in_(bindparam("wanted", expanding=True)), _deliveries.c.deleted_at.is_(None)
)
# Whoever leaves waits for us, and then finds what they own.
_ACTIVE_USERS = (
    select(_users.c.id)
    .where(_users.c.id.in_(bindparam("ids", expanding=True)), _users.c.active)
    .order_by(_users.c.id)
    .with_for_update(read=True, key_share=True)
)
