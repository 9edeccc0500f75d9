"""Moving deliveries, one or many: a few statements for all of them, and the same rules, history and facts for each.

In the caller's transaction.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Row, bindparam, select

from delivery import clock, events
from delivery.database import db
from delivery.deliveries import history
from delivery.deliveries.access import EVERYBODY, Permit, check, parts_of
from delivery.deliveries.events import DeliveryMoved, told_of
from delivery.deliveries.models import Delivery
from delivery.deliveries.queries import COLUMNS, OWNER_SWITCHES
from delivery.deliveries.states import AFTER_PICKUP, State, allowed, is_legal
from delivery.errors import AppError, Conflict, Forbidden, invalid_field, invalid_fields, lost_race
from delivery.rows import change, execute
from delivery.users.models import User
from delivery.users.states import Role
from delivery.web import ANY_VERSION, Caller, Expected

_deliveries, _users = Delivery.__table__, User.__table__
# A delivery after its move, as queries.COLUMNS would show it, or why it was not moved.
Outcome: TypeAlias = SimpleNamespace | AppError
_CLOCK_SKEW = timedelta(minutes=5)
_EARLIEST = datetime(2000, 1, 1, tzinfo=clock.ZONE)  # before it, somebody's clock has never been set


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where a delivery is to go, and what is to be said of it.

    `courier_id` goes with `assigned`: to whom; the present courier when not given. `occurred_at`: when it happened;
    now, when not given.
    """

    delivery_id: UUID
    to: State
    expected: Expected = ANY_VERSION
    courier_id: UUID | None = None
    occurred_at: datetime | None = None
    location: dict[str, float] | None = None
    reason_code: str | None = None
    note: str | None = None
    public_note: str | None = None


def move(permit: Permit, *, to: State, **more: Any) -> Any:
    """Move a delivery to another state; `more` as in Move.

    Raises:
        Conflict: the table of states has no such move from here; `allowed` lists what the caller may do.
        Forbidden: the move exists, but is not the caller's to make.
        PreconditionFailed: it changed since the caller read it.
        Invalid: no such courier, or a time in the future.
    """
    [outcome] = move_many(permit.caller, [Move(delivery_id=permit.delivery_id, to=to, **more)], may=permit.may)
    if isinstance(outcome, AppError):
        raise outcome
    return outcome


def move_many(
    by: Caller, moves: Sequence[Move], *, may: frozenset[str] = EVERYBODY, dry_run: bool = False
) -> list[Outcome]:
    """Move deliveries; returns for each move, in order, what move() would return, or the error it would raise.

    What can be moved is. A delivery that is not the caller's to see is not found; one can be moved once.

    Args:
        dry_run: only tell what would become of them.
    """
    seen = _seen({one.delivery_id for one in moves}, locked=not dry_run)
    couriers = _couriers({courier for one in moves if (courier := _courier_of(one, seen.get(one.delivery_id)))})
    done: set[UUID] = set()
    judged = [_judged(by, one, seen.get(one.delivery_id), may=may, couriers=couriers, done=done) for one in moves]
    changes = {change["id"]: change for change in judged if not isinstance(change, AppError)}
    written = _rehearsed(seen, changes) if dry_run else _write(seen, changes)
    if not dry_run:
        _follow_up(by, [(one, seen[one.delivery_id], written.get(one.delivery_id)) for one in _chosen(moves, judged)])
    return [one if isinstance(one, AppError) else written.get(one["id"]) or lost_race() for one in judged]


def allowed_for(caller: Caller, row: Any) -> list[State]:
    """Return the states that a caller may move a delivery to now."""
    return allowed(State(row.status), parts_of(caller, row), picked_up=row.picked_up_at is not None)


def _seen(ids: Collection[UUID], *, locked: bool) -> dict[UUID, Row[Any]]:
    """Read deliveries, and lock them in one order for all writers, so that nobody waits for who waits for them."""
    statement = _LOCKED if locked else _UNLOCKED
    return {row.id: row for row in db.session.connection().execute(statement, {"ids": list(ids)})}


def _courier_of(one: Move, seen: Any) -> UUID | None:
    """Return who is to have it; whoever has it is looked at anew, too."""
    if one.to is not State.ASSIGNED or seen is None:
        return None
    return one.courier_id or seen.courier_id


def _couriers(ids: Collection[UUID]) -> set[UUID]:
    """Return which of them are active couriers, and keep them so until the commit: who leaves waits, and finds us."""
    return set(db.session.connection().execute(_ACTIVE_COURIERS, {"ids": list(ids)}).scalars()) if ids else set()


def _judged(
    by: Caller, one: Move, seen: Any, *, may: frozenset[str], couriers: Collection[UUID], done: set[UUID]
) -> dict[str, Any] | AppError:
    """Return what a move writes, or why it may not be."""
    try:
        check(by, seen, may)
        _check_meaning(one)
        if one.delivery_id in done:
            raise invalid_field("/id", "Stands here twice; a delivery is moved once.", code="repeated")
        one.expected.check(seen.version)
        _check_move(by, seen, one.to)
        courier_id = _courier_after(one, seen, couriers)
    except AppError as error:
        return error
    done.add(one.delivery_id)
    now = clock.now()
    picked_up_at = seen.picked_up_at or ((one.occurred_at or now) if one.to in AFTER_PICKUP else None)
    return {
        "id": seen.id, "seen": seen.version, "status": one.to, "courier_id": courier_id, "picked_up_at": picked_up_at,
        "updated_at": now,
    }  # fmt: skip


def _check_move(caller: Caller, seen: Any, to: State) -> None:
    may = allowed_for(caller, seen)
    if to in may:
        return
    if is_legal(State(seen.status), to, picked_up=seen.picked_up_at is not None):
        raise Forbidden("This move is not yours to make.", allowed=may)
    detail = f"A delivery that is {seen.status} cannot become {to}."
    raise Conflict(detail, code="illegal_move", **{"from": seen.status, "to": to, "allowed": may})


def _check_meaning(one: Move) -> None:
    """Refuse what no state of the delivery could make right."""
    wrong = {}
    if one.occurred_at and not _EARLIEST <= one.occurred_at <= clock.now() + _CLOCK_SKEW:
        wrong["/occurred_at"] = "Must lie in the past, and in this century."
    if one.courier_id is not None and one.to is not State.ASSIGNED:
        wrong["/courier_id"] = "Goes with a move to `assigned` only."
    if wrong:
        raise invalid_fields(wrong)


def _courier_after(one: Move, seen: Any, couriers: Collection[UUID]) -> UUID | None:
    if one.to is State.ASSIGNED:
        chosen = _courier_of(one, seen)
        if chosen not in couriers:
            raise invalid_field("/courier_id", "Must be the id of an active courier.")
        return chosen
    return None if one.to is State.PENDING else seen.courier_id


def _chosen(moves: Sequence[Move], judged: Sequence[Any]) -> Iterable[Move]:
    return (one for one, verdict in zip(moves, judged, strict=True) if not isinstance(verdict, AppError))


def _write(seen: Any, changes: dict[UUID, dict[str, Any]]) -> dict[UUID, Any]:
    """Write the next versions and return them as queries.COLUMNS would; the check is the write."""
    if not changes:
        return {}
    rows = execute(_MOVE, changes.values())
    return {row.id: SimpleNamespace(**row._mapping, tags=seen[row.id].tags) for row in rows}  # noqa: SLF001  # public by its documentation


def _rehearsed(seen: Any, changes: dict[UUID, dict[str, Any]]) -> dict[UUID, Any]:
    return {
        identity: SimpleNamespace(**{**seen[identity]._mapping, **change, "version": change["seen"] + 1})  # noqa: SLF001
        for identity, change in changes.items()
    }


def _follow_up(by: Caller, moved: Sequence[tuple[Move, Any, Any]]) -> None:
    """Append to the history of what was moved, and publish what happened."""
    moved = [(one, seen, changed) for one, seen, changed in moved if changed]
    history.append_all(_entry(by, one, seen, changed) for one, seen, changed in moved)
    events.publish_all([DeliveryMoved(**told_of(changed), from_status=seen.status) for _, seen, changed in moved])


def _entry(by: Caller, one: Move, seen: Any, changed: Any) -> history.Entry:
    return history.entry(
        changed.id,
        seq=changed.version,
        kind="assigned" if one.to is State.ASSIGNED else "moved",
        from_state=seen.status,
        to_state=changed.status,
        by=by,
        occurred_at=one.occurred_at or changed.updated_at,
        reason_code=one.reason_code,
        note=one.note,
        public_note=one.public_note,
        **(one.location or {}),
    )


_UNLOCKED = select(*COLUMNS).where(_deliveries.c.id.in_(bindparam("ids", expanding=True))).order_by(_deliveries.c.id)
_LOCKED = _UNLOCKED.with_for_update(of=_deliveries)
_ACTIVE_COURIERS = (
    select(_users.c.id)
    .where(_users.c.id.in_(bindparam("ids", expanding=True)), _users.c.active, _users.c.role == Role.COURIER)
    .order_by(_users.c.id)
    .with_for_update(read=True, key_share=True)
)
_MOVE = {
    name: statement.returning(*_deliveries.c, OWNER_SWITCHES)
    for name, statement in change(
        _deliveries, "status", "courier_id", "picked_up_at", "updated_at", version=_deliveries.c.version + 1
    ).items()
}
