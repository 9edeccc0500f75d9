"""Doing again, after a restore, the erasures of the list of which the restored database knows nothing.

An account is found by its id. A recipient is known by keyed hashes only: those of every delivery that was made before
the erasure, and of every address that is held but no account's own, are compared with them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import CompoundSelect, Row, insert, or_, select, union

from delivery import audit
from delivery.auth.models import Invitation
from delivery.database import db, reader, transaction
from delivery.deliveries.models import Delivery
from delivery.errors import Conflict, NotFound
from delivery.privacy import services
from delivery.privacy.erasure_list import Line
from delivery.privacy.models import Erasure, ErasureDelivery
from delivery.privacy.queries import email_hash, key_mark, phone_hash
from delivery.privacy.states import Kind
from delivery.users.events import UserErased
from delivery.users.models import FormerEmail, User
from delivery.users.services import erase_again

PAGE, AT_ONCE = 1000, 500
_erasures, _rest, _d = Erasure.__table__, ErasureDelivery.__table__, Delivery.__table__.c
_HELD: CompoundSelect[Any] = union(select(Invitation.email), select(User.new_email), select(FormerEmail.email))


@dataclass(slots=True)
class Plan:
    """What the database lacks: accounts; recipients, with deliveries and addresses found; what cannot be compared."""

    users: list[Line] = field(default_factory=list)
    recipients: list[Line] = field(default_factory=list)
    deliveries: dict[UUID, list[UUID]] = field(default_factory=dict)
    addresses: dict[bytes, str] = field(default_factory=dict)
    other_key: int = 0


def plan(lines: Sequence[Line]) -> Plan:
    """Compare a list with the database; changes nothing."""
    held = reader().execute(select(_erasures.c.id, _erasures.c.user_id)).all()
    ids, users = {row.id for row in held}, {row.user_id for row in held}
    lacking = list({line.id: line for line in lines if line.id not in ids}.values())
    recipients = [line for line in lacking if line.kind is Kind.RECIPIENT]
    comparable = [line for line in recipients if line.key_mark == key_mark()]
    return Plan(
        users=[line for line in lacking if line.kind is Kind.USER and line.user_id not in users],
        recipients=comparable,
        deliveries=_found(comparable),
        addresses=_addresses({line.email_hash for line in comparable if line.email_hash}),
        other_key=len(recipients) - len(comparable),
    )


def reapply(made: Plan) -> list[UUID]:
    """Do what the plan says, and record it; returns the accounts that could not be erased: each the last admin."""
    refused = [line.user_id for line in made.users if line.user_id and not _erase_user(line)]
    if made.recipients:
        with transaction():
            _erase_recipients(made)
    while _go_on():
        pass
    return refused


def _go_on() -> int:
    with transaction():
        return services.go_on(AT_ONCE)


def _erase_user(line: Line) -> bool:
    assert line.user_id is not None  # noqa: S101  # of this kind
    try:
        with transaction():
            _record([line])
            try:
                erase_again(line.user_id)
            except NotFound:  # not yet there when the backup was made, or erased already
                services.erase_traces(UserErased(line.user_id))
    except Conflict:
        return False
    return True


def _erase_recipients(made: Plan) -> None:
    _record(made.recipients)
    rest = [{"erasure_id": one, "delivery_id": it} for one, found in made.deliveries.items() for it in found]
    if rest:
        db.session.execute(insert(_rest), rest)
    for line in made.recipients:
        email = made.addresses.get(line.email_hash) if line.email_hash else None
        services.erase_recipient_again(line.id, email=email, before=line.requested_at)


def _record(lines: Sequence[Line]) -> None:
    names = ("id", "kind", "user_id", "email_hash", "phone_hash", "requested_at")
    db.session.execute(
        insert(_erasures), [{"counts": {}, **{name: getattr(line, name) for name in names}} for line in lines]
    )
    for line in lines:
        if line.kind is Kind.RECIPIENT:
            audit.record("recipient.erased", object_type="erasure", object_id=line.id, after_restore=True)


def _found(lines: Sequence[Line]) -> dict[UUID, list[UUID]]:
    """Return the deliveries of each recipient's erasure, out of all that are older than it."""
    by_hash: dict[bytes, list[Line]] = defaultdict(list)
    for line in lines:
        for hashed in filter(None, (line.email_hash, line.phone_hash)):
            by_hash[hashed].append(line)
    found: dict[UUID, dict[UUID, None]] = defaultdict(dict)
    for row in _addressed() if by_hash else ():
        for line in (line for hashed in _hashes(row) for line in by_hash.get(hashed, ())):
            if row.created_at <= line.requested_at:
                found[line.id][row.id] = None
    return {erasure_id: list(deliveries) for erasure_id, deliveries in found.items()}


def _addresses(hashes: set[bytes]) -> dict[bytes, str]:
    """Return the addresses of these hashes that somebody was invited to, wants to have, or had before."""
    held = reader().execute(_HELD).scalars() if hashes else ()
    return {hashed: email for email in held if email and (hashed := email_hash(email)) in hashes}


def _hashes(row: Row[Any]) -> Iterator[bytes]:
    if row.recipient_email:
        yield email_hash(row.recipient_email)
    if row.recipient_phone:
        yield phone_hash(row.recipient_phone)


def _addressed() -> Iterator[Row[Any]]:
    """Yield all deliveries with an address or number, page by page."""
    named = or_(_d.recipient_email.is_not(None), _d.recipient_phone.is_not(None))
    columns: tuple[Any, ...] = (_d.id, _d.created_at, _d.recipient_email, _d.recipient_phone)
    query = select(*columns).where(named)
    page = reader().execute(query.order_by(_d.id).limit(PAGE)).all()
    while page:
        yield from page
        page = reader().execute(query.where(_d.id > page[-1].id).order_by(_d.id).limit(PAGE)).all()
