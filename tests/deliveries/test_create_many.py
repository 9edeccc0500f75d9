"""Many deliveries in a few statements: each is what it would be if it had been created alone."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from delivery.database import db, transaction
from delivery.deliveries.creating import create_many
from delivery.deliveries.models import Delivery, DeliveryEvent
from delivery.deliveries.schemas import DeliveryIn
from delivery.errors import AppError
from delivery.notifications.models import OutboxMessage
from delivery.web import Caller
from tests.deliveries.chains import broken
from tests.deliveries.test_create import WHOLE
from tests.factories import delivery_in
from tests.servers.waiting import wait_until
from tests.web.racing import race
from tests.webhooks.making import endpoint

# What differs between two deliveries that are otherwise the same.
OWN = {"id", "tracking_number", "created_at", "updated_at", "recorded_at", "occurred_at", "reference"}
BODIES = [
    WHOLE,
    delivery_in(),
    delivery_in(draft=True, tags=["späti", "a"]),
    delivery_in(recipient={"name": "Ἀριάδνη \U0001f6b2 'quoted' \\u0000 \"x\"", "email": None, "phone": None}),
    delivery_in(
        notifications={"events": {"created": {"recipient": {"sms": True}}}, "sender": {"mail": False}},
        window={"earliest": "2026-06-01T10:00:00.5+05:30"},
    ),
]


def caller(api, role="customer"):
    return Caller(id=UUID(api.user_id), role=role)


@contextmanager
def creating(app):
    with app.app_context(), transaction():
        yield


def made_by(app, by, bodies):
    """What becomes of bodies, made together."""
    with creating(app):
        return create_many(by, [DeliveryIn().load(body) for body in bodies])


def stored(app, delivery_id):
    """What the tables hold about a delivery: itself, its history and what is to be told of it."""
    with app.app_context():
        columns = [column for column in Delivery.__table__.columns if column.name not in OWN]
        row = db.session.execute(select(*columns).where(Delivery.id == delivery_id)).one()
        kept = (column for column in DeliveryEvent.__table__.columns if column.name not in OWN | {"delivery_id"})
        events = db.session.execute(select(*kept).where(DeliveryEvent.delivery_id == delivery_id)).all()
        named = ("channel", "audience", "owner_id", "seq", "event", "template", "locale", "data", "state", "attempts")
        about = select(*(getattr(OutboxMessage, name) for name in named), OutboxMessage.expires_at)
        messages = db.session.execute(about.where(OutboxMessage.delivery_id == delivery_id)).all()
    told = sorted(str({**message._asdict(), "expires_at": message.expires_at is not None}) for message in messages)
    return row._asdict(), [{**event._asdict(), "request_id": None} for event in events], told


def test_each_is_what_it_would_be_alone(app, api):
    endpoint(app, api.user_id, status="active")
    alone = [UUID(api.create(**body)["id"]) for body in BODIES]
    bodies = [{**body, "reference": f"other-{number}"} for number, body in enumerate(BODIES)]
    together = made_by(app, caller(api), bodies)

    for first, second, body in zip(alone, together, bodies, strict=True):
        assert stored(app, first) == stored(app, second.id)
        shown = [api.get(f"/api/deliveries/{one}").json for one in (first, second.id)]
        assert {**shown[0], **{name: shown[1][name] for name in OWN & shown[1].keys()}} == shown[1]
        assert shown[1]["reference"] == body["reference"]
        assert shown[1]["tags"] == sorted(set(body.get("tags", [])))
    assert broken(app) == []


def test_what_is_taken_is_named_and_the_rest_is_made(app, api):
    taken = api.create(reference="b")
    references = ["a", "b", None, "c", "a", None, "b"]
    outcomes = made_by(app, caller(api), [delivery_in(reference=one) for one in references])

    first, _, _, third, *_ = outcomes
    errors = {place: one for place, one in enumerate(outcomes) if isinstance(one, AppError)}
    assert {place: (one.code, one.extra["existing_id"]) for place, one in errors.items()} == {
        1: ("duplicate_reference", taken["id"]),
        4: ("duplicate_reference", str(first.id)),
        6: ("duplicate_reference", taken["id"]),
    }
    assert third.reference == "c"
    listed = api.get("/api/deliveries").json["items"]
    assert {one["id"] for one in listed} == {taken["id"]} | {
        str(one.id) for one in outcomes if not isinstance(one, AppError)
    }
    assert broken(app) == []


@pytest.mark.parametrize("role", ["customer", "dispatcher"])
def test_only_the_rows_of_a_wrong_owner_are_refused(app, people, role):
    by, other = people.make(role), people.customer()
    owners = [by.user_id, other.user_id, str(uuid4()), by.user_id]
    outcomes = made_by(app, caller(by, role), [delivery_in(owner_id=one) for one in owners])

    codes = [one.code if isinstance(one, AppError) else str(one.owner_id) for one in outcomes]
    allowed = other.user_id if role == "dispatcher" else "forbidden"
    nobody = "validation_failed" if role == "dispatcher" else "forbidden"
    assert codes == [by.user_id, allowed, nobody, by.user_id]


def test_many_cost_as_many_statements_as_two(app, api, count_statements):
    endpoint(app, api.user_id, status="active")

    def cost(count, names):
        bodies = [
            delivery_in(tags=[f"{names}-{number}", names], reference=f"{names}-{number}") for number in range(count)
        ]
        with count_statements() as statements:
            assert len(made_by(app, caller(api), bodies)) == count
        return len(statements)

    # Of one it is not asked first whether anybody listens.
    assert cost(1000, "many") == cost(2, "two") <= 10


def test_batches_in_opposite_orders_do_not_wait_for_each_other_for_ever(app, api):
    for turn in range(4):
        names = [f"{turn}-{number}" for number in range(60)]
        bodies = [delivery_in(reference=name, tags=[f"tag-{name}"]) for name in names]
        outcomes = race(
            *[lambda bodies=bodies: made_by(app, caller(api), bodies)] * 2,
            *[lambda bodies=bodies[::-1]: made_by(app, caller(api), bodies)] * 2,
        )
        made = [one for batch in outcomes for one in batch if not isinstance(one, AppError)]
        assert sorted(one.reference for one in made) == sorted(names)
        ids = {one.reference: str(one.id) for one in made}
        for batch, order in zip(outcomes, (names, names, names[::-1], names[::-1]), strict=True):
            for one, name in zip(batch, order, strict=True):
                assert ids[name] == (one.extra["existing_id"] if isinstance(one, AppError) else str(one.id))
    assert broken(app) == []


def test_who_waits_for_a_reference_holds_none_that_comes_after_it(app, api, database_url):
    """However a batch is sent: two that held what the other wants would wait for each other for ever."""
    if database_url.startswith("sqlite"):
        pytest.skip("its writers take turns")
    by = caller(api)
    first, middle, last = ([delivery_in(reference=name)] for name in "amz")
    with ThreadPoolExecutor(2) as threads, creating(app):
        create_many(by, [DeliveryIn().load(*middle)])
        batch = threads.submit(made_by, app, by, last + middle + first)
        waits = text("SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
        wait_until(lambda: db.session.execute(waits).first() or batch.done(), what="the batch to wait")
        [free] = threads.submit(made_by, app, by, last).result(timeout=1)
        db.session.rollback()
    assert [one.reference for one in batch.result()[1:]] == ["m", "a"]
    assert batch.result()[0].extra["existing_id"] == str(free.id)


def test_nothing_is_made_of_nothing(app, api, count_statements):
    with count_statements() as statements:
        assert made_by(app, caller(api), []) == []
    assert not [statement for statement in statements if "INSERT" in statement]
