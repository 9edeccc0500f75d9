"""The only way to a message: what one may not see is not there."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, false, or_, true

from delivery.errors import Forbidden, NotFound
from delivery.notifications.models import OutboxMessage
from delivery.notifications.queries import message_by_id
from delivery.notifications.states import ACCOUNT_MAILS
from delivery.web import Caller

_m = OutboxMessage.__table__.c
# By name: which roles there are is said above the outbox, in users/states.py.
_ADMIN, _DISPATCHER, _CUSTOMER = "admin", "dispatcher", "customer"
_ABOUT_ACCOUNTS = tuple(sorted(ACCOUNT_MAILS))


class Part(StrEnum):
    """What a person is to a message: it is about their delivery or endpoint, about their account, or their work."""

    OWNER = "owner"
    SELF = "self"
    STAFF = "staff"


def parts_of(caller: Caller, row: Any) -> frozenset[Part]:
    """Return what a caller is to a message; what accounts are told is for admins and the account's owner alone."""
    if not caller.shares_mode_of(row):
        return frozenset()
    about_account = row.template in ACCOUNT_MAILS
    parts = set()
    if caller.role == _ADMIN or (caller.role == _DISPATCHER and not about_account):
        parts.add(Part.STAFF)
    if caller.role in {_CUSTOMER, _DISPATCHER} and row.owner_id == caller.id and about_account:
        parts.add(Part.SELF)
    if caller.role == _CUSTOMER and row.owner_id == caller.id and not about_account:
        parts.add(Part.OWNER)
    return frozenset(parts)


def visible_to(caller: Caller) -> ColumnElement[bool]:
    """Return the condition that the messages in a caller's lists meet: those of parts_of(), for rows."""
    return and_(_m.test if caller.test else ~_m.test, _by_role(caller))


def _by_role(caller: Caller) -> ColumnElement[bool]:
    if caller.role == _ADMIN:
        return true()
    mine = _m.owner_id == caller.id
    if caller.role == _DISPATCHER:
        return or_(_m.template.not_in(_ABOUT_ACCOUNTS), and_(mine, _m.template.in_(_ABOUT_ACCOUNTS)))
    return mine if caller.role == _CUSTOMER else false()


def message_for(caller: Caller, message_id: UUID, may: frozenset[str]) -> Row[Any]:
    """Return a message's columns, for whoever is one of `may` to it.

    Raises:
        NotFound: it is not the caller's to see.
        Forbidden: it may be seen, but not sent again by them.
    """
    row = message_by_id(message_id)
    parts = parts_of(caller, row) if row is not None else frozenset()
    if row is None or not parts:
        raise NotFound
    if not parts & may:
        raise Forbidden("You may see this mail; ask for another one where you asked for this.")
    return row
