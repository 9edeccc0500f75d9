"""The rows of a seeded delivery: itself, its history, its tags."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from uuid_utils.compat import uuid7

from delivery.deliveries.seeding.goods import ITEMS, NOTES, REASONS, TAGS, TOWNS, Reason, Town
from delivery.deliveries.seeding.lives import Step, life
from delivery.deliveries.states import MOVES, Part, State
from delivery.deliveries.tracking_numbers import new_number
from delivery.users.seeding import person

if TYPE_CHECKING:
    from faker import Faker

OLDEST = timedelta(days=28)
_NO_REASON = Reason(None, None, None)
_AT_THE_DOOR = frozenset({State.DELIVERED, State.ATTEMPT_FAILED})


@dataclass(slots=True)
class Rows:
    """What one delivery adds to each table; its tags by their names."""

    delivery: dict[str, Any]
    tags: list[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)


def invent(
    count: int, *, faker: "Faker", owners: Sequence[UUID], couriers: Sequence[UUID], now: datetime
) -> Iterator[Rows]:
    """Invent deliveries spread evenly over the past weeks, the oldest first: so the indexes grow at their ends."""
    for number in range(count):
        age = OLDEST * (1 - (number + faker.random.random()) / count)
        yield _one(faker, age=age, owners=owners, couriers=couriers, now=now)


def _one(faker: "Faker", *, age: timedelta, owners: Sequence[UUID], couriers: Sequence[UUID], now: datetime) -> Rows:
    """Invent a delivery, with the history that has brought it where it is by now."""
    random = faker.random
    fields = _parcel(random) | _recipient_and_places(faker)
    tags = sorted(random.sample(TAGS, k=random.choice((0, 1, 1, 2, 3))))
    rows = Rows(_new(fields, owner_id=random.choice(owners), born=now - age, random=random), tags)
    for step in life(random, age=age):
        reason = random.choice(REASONS.get(step.target, (_NO_REASON,)))
        _live(rows, step, at=now - age + step.after, courier_id=random.choice(couriers), reason=reason)
    return rows


def _parcel(random: Random) -> dict[str, Any]:
    item, pieces = random.choice(ITEMS), random.choice((1, 1, 1, 1, 2, 3))
    sizes = zip(("length_mm", "width_mm", "height_mm"), item.size_mm, strict=True)
    return {
        "item_name": item.name,
        "description": random.choice((None, None, None, "Gift wrapped.", "Second-hand, as agreed.")),
        "package": {"weight_grams": item.weight_grams * pieces, "pieces": pieces, **dict(sizes)},
        "requirements": {"photo": _chance(random, 30), "signature": _chance(random, 20), "pin": False},
    }


def _recipient_and_places(faker: "Faker") -> dict[str, Any]:
    random, town = faker.random, faker.random.choice(TOWNS)
    name, email, phone = person(faker, area=town.area)
    destination = _address(faker, town) | ({"notes": random.choice(NOTES)} if _chance(random, 20) else {})
    return {
        "recipient_name": name,
        "recipient_email": email if _chance(random, 90) else None,
        "recipient_phone": phone if _chance(random, 60) else None,
        "recipient_locale": "en",
        "pickup": _address(faker, random.choice(TOWNS)),
        "destination": destination,
    }


def _chance(random: Random, percent: int) -> bool:
    return random.randrange(100) < percent


def _address(faker: "Faker", town: Town) -> dict[str, Any]:
    random = faker.random
    return {
        "line1": f"{random.randrange(1, 2000)} {faker.street_name()}",
        "city": town.name,
        "region": town.region,
        "postcode": f"{town.postcode + random.randrange(1, 100):05}",
        "country": "US",
        "lat": round(town.lat + random.uniform(-0.05, 0.05), 5),
        "lng": round(town.lng + random.uniform(-0.05, 0.05), 5),
    }


def _new(fields: dict[str, Any], *, owner_id: UUID, born: datetime, random: Random) -> dict[str, Any]:
    morning = born.replace(hour=8, minute=0, second=0, microsecond=0)
    earliest = morning + timedelta(days=random.randrange(1, 4), hours=random.randrange(8))
    return fields | {
        # Made of the past, so that lists in the order of ids stay in the order of creation.
        "id": uuid7(nanoseconds=int(born.timestamp() * 1_000_000) * 1000),
        "owner_id": owner_id,
        "courier_id": None,
        "tracking_number": new_number(),
        # Not from the seed: an owner's references are unique, and a second run with the same seed is welcome.
        "reference": f"SO-{born:%y%m%d}-{secrets.token_hex(5)}" if _chance(random, 80) else None,
        "window_earliest": earliest,
        "window_latest": earliest + timedelta(hours=4),
        "created_at": born,
        "picked_up_at": None,
        "deleted_at": None,
    }


def _live(rows: Rows, step: Step, *, at: datetime, courier_id: UUID, reason: Reason) -> None:
    """Append one step to the history and bring the delivery to where it leads, as moving.move() would."""
    now_is = rows.delivery
    seq, key = len(rows.events) + 1, {"delivery_id": now_is["id"], "seq": len(rows.events) + 1}
    if step.target is State.ASSIGNED:
        now_is["courier_id"] = courier_id
    rows.events.append(key | _event(step, at=at, actor_id=_actor(step, now_is), reason_code=reason.code))
    if step.target is State.PENDING:
        now_is["courier_id"] = None
    if step.target is State.PICKED_UP:
        now_is["picked_up_at"] = at
    now_is |= {"status": step.target, "version": seq, "updated_at": at}
    place = now_is["destination"] if step.target in _AT_THE_DOOR else {"lat": None, "lng": None}
    if reason.note or reason.public_note or place["lat"] is not None:
        words = {"note": reason.note, "public_note": reason.public_note}
        rows.details.append(key | words | {"lat": place["lat"], "lng": place["lng"]})


def _event(step: Step, *, at: datetime, actor_id: UUID | None, reason_code: str | None) -> dict[str, Any]:
    return {
        "kind": "assigned" if step.target is State.ASSIGNED else "moved",
        "from_state": step.source,
        "to_state": step.target,
        "reason_code": reason_code,
        "actor_type": "system" if actor_id is None else "user",
        "actor_id": actor_id,
        "request_id": None,
        "occurred_at": at,
        "recorded_at": at,
    }


def _actor(step: Step, delivery: dict[str, Any]) -> UUID | None:
    """Return who does such a thing: the owner creates, the courier does what couriers may."""
    who = frozenset({Part.OWNER}) if step.source is None else MOVES[step.source, step.target]
    if Part.COURIER in who and delivery["courier_id"]:
        courier_id: UUID = delivery["courier_id"]
        return courier_id
    owner_id: UUID = delivery["owner_id"]
    return owner_id if Part.OWNER in who else None
