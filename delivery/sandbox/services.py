"""Moving a test delivery along its scenario, and taking it away when nobody needs it any more.

They run in the caller's transaction. The moves are those that everybody makes: the same rules, history and facts.
"""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, delete, select

from delivery import clock
from delivery.database import db, upsert
from delivery.deliveries import moving
from delivery.deliveries.access import Permit
from delivery.deliveries.forgetting import forget_people, recipient_forgotten, sender_forgotten
from delivery.deliveries.models import Delivery
from delivery.deliveries.states import State
from delivery.errors import Conflict
from delivery.sandbox.models import SandboxRun
from delivery.sandbox.queries import BEEN
from delivery.sandbox.states import KEPT_DAYS, Scenario, Step, left
from delivery.users.states import Role
from delivery.web import Caller

_deliveries, _runs = Delivery.__table__, SandboxRun.__table__
# Who moves test deliveries: nobody in person, in a dispatcher's place, and with tests alone.
COURIER = Caller(id=None, role=Role.DISPATCHER, kind="sandbox", test=True)


class Advanced(NamedTuple):
    """What a call did: the moves, the move that comes next, if any, and the delivery as it is now."""

    scenario: Scenario
    made: list[State]
    next: State | None
    row: Any


def advance(permit: Permit, *, scenario: Scenario | None, steps: int) -> Advanced:
    """Make the next moves of a scenario; without a name it is the one before, and at first the happy one.

    Raises:
        Conflict: the scenario is over, or the delivery is where its next move cannot be made.
        NotFound: it was deleted meanwhile.
    """
    mine = Permit(COURIER, permit.delivery_id)
    _lock(mine.delivery_id)
    chosen = _followed(mine.delivery_id, scenario)
    been = db.session.execute(BEEN, {"delivery_id": mine.delivery_id}).scalars().all()
    ahead = left(chosen, been)
    if not ahead:
        raise Conflict(
            f"The scenario {chosen} is over.", code="scenario_over", scenario=chosen, delivery_status=been[-1]
        )
    rows = [_make(mine, step) for step in ahead[:steps]]
    following = ahead[steps].to if len(ahead) > steps else None
    return Advanced(chosen, [step.to for step in ahead[:steps]], following, rows[-1])


def _lock(delivery_id: UUID) -> None:
    """Have two calls at once make one move after the other, and none twice."""
    db.session.execute(select(_deliveries.c.id).where(_deliveries.c.id == delivery_id).with_for_update())


def _followed(delivery_id: UUID, named: Scenario | None) -> Scenario:
    if named is None:
        before = select(_runs.c.scenario).where(_runs.c.delivery_id == delivery_id)
        return Scenario(db.session.execute(before).scalar_one_or_none() or Scenario.HAPPY)
    run = upsert(SandboxRun).values(delivery_id=delivery_id, scenario=named)
    chosen = {"scenario": run.excluded.scenario}
    db.session.execute(run.on_conflict_do_update(index_elements=["delivery_id"], set_=chosen))
    return named


def _make(permit: Permit, step: Step) -> Any:
    return moving.move(permit, to=step.to, reason_code=step.reason_code, public_note=step.public_note)


def expire(limit: int) -> int:
    """Delete up to `limit` test deliveries that are older than KEPT_DAYS, and whoever stands in them; returns how many.

    The history knows no exception: its events stay, with nobody in them. Only the delivery forgets when it was picked
    up, as what was picked up cannot be deleted.
    """
    made_before = clock.now() - timedelta(days=KEPT_DAYS)
    old = (
        select(*_deliveries.c)
        .where(_deliveries.c.test, _deliveries.c.created_at < made_before, _deliveries.c.deleted_at.is_(None))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = db.session.execute(old).all()
    ids = [row.id for row in rows]
    db.session.execute(delete(_runs).where(_runs.c.delivery_id.in_(ids)))
    return forget_people(rows, _expired, reason_code="expired")


def _expired(row: Row[Any]) -> dict[str, Any]:
    gone = {"deleted_at": clock.now(), "picked_up_at": None}
    return {**sender_forgotten(row), **recipient_forgotten(row), **gone}
