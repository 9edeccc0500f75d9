"""The only way to a delivery: what one may not see is not there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, bindparam, false, true

from delivery.database import reader
from delivery.deliveries.listing import Seen
from delivery.deliveries.models import Delivery
from delivery.deliveries.queries import DELIVERY_BY_ID
from delivery.deliveries.states import Part
from delivery.errors import Forbidden, NotFound
from delivery.users.states import Role
from delivery.web import Caller

EVERYBODY = frozenset(Part)
_ALL_SEEING = frozenset({Role.DISPATCHER, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to do one thing to one delivery, as it was when asked; a service looks again before it writes."""

    caller: Caller
    delivery_id: UUID
    may: frozenset[str] = EVERYBODY


def parts_of(caller: Caller, row: Any) -> frozenset[Part]:
    """Return what a caller is to a delivery; by their role, as in visible_to(): a courier who owns it is no owner."""
    parts: set[Part] = set()
    if not caller.shares_mode_of(row):
        return frozenset()
    if caller.role in _ALL_SEEING:
        parts.add(Part.DISPATCHER)
    if caller.role == Role.COURIER and row.courier_id == caller.id:
        parts.add(Part.COURIER)
    if caller.role == Role.CUSTOMER and row.owner_id == caller.id:
        parts.add(Part.OWNER)
    return frozenset(parts)


_BY_ROLE: Mapping[str, ColumnElement[bool]] = {
    Role.COURIER: Delivery.courier_id == bindparam("caller_id"),
    Role.CUSTOMER: Delivery.owner_id == bindparam("caller_id"),
    **dict.fromkeys(_ALL_SEEING, true()),
}
# Built once, since statements are kept by it. Without a value, so that tests find their partial index.
_VISIBLE: Mapping[tuple[str, bool], ColumnElement[bool]] = {
    (role, test): and_(condition, Delivery.test if test else ~Delivery.test)
    for role, condition in _BY_ROLE.items()
    for test in (False, True)
}


def visible_to(caller: Caller) -> ColumnElement[bool]:
    """Return the condition that the deliveries in a caller's lists meet; its parameter is `caller_id`."""
    return _VISIBLE.get((caller.role, caller.test), false())


def seen_by(caller: Caller) -> Seen:
    """Return what the lists of a caller are of."""
    return Seen(
        condition=visible_to(caller),
        caller_id=caller.id,
        owner_id=caller.id if caller.role == Role.CUSTOMER else None,
        test=caller.test,
        by_owner=caller.role != Role.COURIER,
    )


def check(caller: Caller, row: Any, may: frozenset[str]) -> None:
    """Refuse whoever is none of `may` to a delivery.

    Raises:
        NotFound: it is not the caller's to see, or deleted.
        Forbidden: it may be seen, but not changed like this.
    """
    parts = parts_of(caller, row) if row is not None and row.deleted_at is None else frozenset()
    if not parts:
        raise NotFound
    if not parts & may:
        raise Forbidden("You may see this delivery, but not change it like this.")


def delivery_for(caller: Caller, delivery_id: UUID, may: frozenset[str] = EVERYBODY) -> Row[Any]:
    """Return a delivery's columns for reading."""
    row = reader().execute(DELIVERY_BY_ID, {"id": delivery_id}).one_or_none()
    check(caller, row, may)
    assert row is not None  # noqa: S101  # check() has refused
    return row


def permit_for(caller: Caller, delivery_id: UUID, may: frozenset[str]) -> Permit:
    """Return leave to change a delivery."""
    delivery_for(caller, delivery_id, may)
    return Permit(caller, delivery_id, may)
