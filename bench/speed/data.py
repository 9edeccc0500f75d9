"""What both are measured on: customers with deliveries in all stages, each with the whole history that led there."""

import itertools
from datetime import timedelta

from sqlalchemy import insert

from delivery import clock
from delivery.database import db, new_id, transaction
from delivery.deliveries.models import Delivery, DeliveryEvent, Tag, delivery_tags
from delivery.deliveries.states import State
from delivery.deliveries.tracking_numbers import new_number
from delivery.users import passwords, services

PASSWORD = "correct horse battery staple"
ROWS_A_STATEMENT = 1000
_S = State
_ON_THE_WAY = (_S.PENDING, _S.ASSIGNED, _S.PICKED_UP, _S.IN_TRANSIT, _S.OUT_FOR_DELIVERY)
# The lives that deliveries led, in turn.
LIVES = (
    (*_ON_THE_WAY, _S.DELIVERED),
    _ON_THE_WAY[:2],
    (*_ON_THE_WAY, _S.DELIVERED),
    (_S.PENDING,),
    _ON_THE_WAY[:4],
    (*_ON_THE_WAY, _S.ATTEMPT_FAILED),
    (_S.PENDING, _S.CANCELLED),
    _ON_THE_WAY,
)
TOWNS = (
    ("12 Harbour Street", "Bristol", "BS1 4ST"),
    ("7 Mill Lane", "Leeds", "LS1 2AB"),
    ("3 Quay", "Hull", "HU1 1AA"),
)


def seed(*, customers, deliveries):
    """Fill a migrated database; return the customers' addresses and, for each, the ids of the deliveries.

    To be called in an app context; all passwords are PASSWORD.
    """
    password_hash = passwords.hash_password(PASSWORD)
    with transaction() as session:
        owners = [_user("customer", number, password_hash) for number in range(customers)]
        couriers = [_user("courier", number, password_hash).id for number in range(4)]
        tags = [{"id": new_id(), "name": name} for name in ("fragile", "gift", "express")]
        session.execute(insert(Tag.__table__), tags)
    owned = {owner.email: [] for owner in owners}
    people = zip(range(deliveries), itertools.cycle(owners), itertools.cycle(couriers))
    while chunk := list(itertools.islice(people, ROWS_A_STATEMENT)):
        rows = [_delivery(number, owner=owner.id, courier=courier) for number, owner, courier in chunk]
        with transaction() as session:
            session.execute(insert(Delivery.__table__), rows)
            session.execute(insert(DeliveryEvent.__table__), [event for row in rows for event in _history(row)])
            session.execute(insert(delivery_tags), list(_tagged(rows, tags)))
        for row, (_, owner, _) in zip(rows, chunk, strict=True):
            owned[owner.email].append(row["id"])
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return owned


def _user(role, number, password_hash):
    return services.create(
        name=f"{role.title()} {number}", email=f"{role}{number}@bench.example", role=role, password_hash=password_hash
    )


def _life(number):
    return LIVES[number % len(LIVES)]


def _delivery(number, *, owner, courier):
    states, now = _life(number), clock.now()
    line, city, postcode = TOWNS[number % len(TOWNS)]
    empty = {column.name: None for column in Delivery.__table__.c if column.nullable}
    return {
        **empty,
        "id": new_id(),
        "owner_id": owner,
        "courier_id": courier if State.ASSIGNED in states else None,
        "tracking_number": new_number(),
        "reference": f"order-{number}",
        "item_name": f"Bicycle number {number}",
        "description": "Handle with care; the bell is loose." if number % 3 == 0 else None,
        "status": states[-1],
        "recipient_name": f"Grace Doorstep {number}",
        "recipient_email": f"grace{number}@home.example",
        "recipient_phone": "+442079460000",
        "recipient_locale": "en",
        "destination": {"line1": line, "city": city, "postcode": postcode, "country": "GB"},
        "package": {"weight_grams": 1200 + number % 800, "pieces": 1},
        "requirements": {"photo": False, "signature": number % 2 == 0, "pin": False},
        "window_earliest": now + timedelta(days=1),
        "window_latest": now + timedelta(days=1, hours=4),
        "version": len(states),
        "created_at": now - timedelta(hours=len(states)),
        "updated_at": now,
        "picked_up_at": now if State.PICKED_UP in states else None,
    }


def _history(row):
    states = LIVES[int(row["reference"].removeprefix("order-")) % len(LIVES)]
    for seq, (before, state) in enumerate(itertools.pairwise((None, *states)), start=1):
        at = row["updated_at"] - timedelta(hours=len(states) - seq)
        yield {
            "delivery_id": row["id"],
            "seq": seq,
            "kind": "assigned" if state is State.ASSIGNED else "moved",
            "from_state": before,
            "to_state": state,
            "actor_type": "user",
            "actor_id": row["courier_id"] or row["owner_id"],
            "occurred_at": at,
            "recorded_at": at,
        }


def _tagged(rows, tags):
    for row, tag in zip(rows[::3], itertools.cycle(tags)):
        yield {"delivery_id": row["id"], "tag_id": tag["id"]}
