"""Erasures at the same moment as each other, as a new delivery, as a move and as a worker that sends."""

from uuid import UUID

import pytest
from sqlalchemy import func, select

from delivery import notifications
from delivery.database import db
from delivery.deliveries.models import Delivery, DeliveryEvent
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.jobs import deliver
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import Channel
from delivery.ops.housekeeping import Housekeeping
from delivery.privacy import services
from delivery.privacy.models import Erasure
from delivery.subscriptions import COMPOSERS
from tests.deliveries.chains import broken
from tests.factories import delivery_in
from tests.privacy.canaries import Canaries, keep_house, sightings, url_of
from tests.web.answers import problem
from tests.web.racing import race


@pytest.fixture
def grace():
    return Canaries("grace")


def ordered(shop, grace):
    return shop.post("/api/deliveries", json=delivery_in(recipient=grace.recipient(), destination=grace.address())).json


def erasures(app):
    with app.app_context():
        return db.session.execute(select(Erasure)).scalars().all()


def test_of_two_erasures_of_one_account_one_is_done(app, people):
    leaver, admin = people.customer(), people.admin()
    path = f"/api/users/{leaver.user_id}"
    answers = race(
        *[lambda: leaver.post(f"{path}/erase")] * 2,
        *[lambda: admin.post(f"{path}/erase")] * 2,
        lambda: admin.delete(path, headers={"If-Match": "*"}),
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 204
    assert set(statuses[1:]) <= {401, 404}
    assert len(erasures(app)) == 1


def test_two_erasures_of_one_recipient_change_each_delivery_once(app, people, grace):
    shop, admin = people.customer(), people.admin()
    done = [people.dispatcher().walk(ordered(shop, grace), "picked_up", "delivered") for _ in range(3)]
    answers = race(*[lambda: admin.post("/api/privacy/erasures", json={"email": grace.email})] * 4)
    assert {answer.status_code for answer in answers} <= {200, 202}
    keep_house(app)
    assert sightings(url_of(app), grace) == []
    assert [shop.get(f"/api/deliveries/{one['id']}").json["version"] for one in done] == [4, 4, 4]
    found = erasures(app)
    assert len(found) == 4
    assert all(erasure.finished_at for erasure in found)
    assert sum(erasure.counts.get("deliveries", 0) for erasure in found) == 3
    assert broken(app) == []


def test_a_new_delivery_keeps_its_owner_or_is_refused(app, people):
    for _ in range(3):
        owner, admin = people.customer(), people.admin()
        erased, created = race(
            lambda admin=admin, owner=owner: admin.post(f"/api/users/{owner.user_id}/erase"),
            lambda owner=owner: owner.post("/api/deliveries", json=delivery_in()),
        )
        outcome = (erased.status_code, created.status_code)
        assert outcome in {(409, 201), (204, 401), (204, 422)}
    with app.app_context():
        orphans = (
            select(func.count())
            .select_from(Delivery)
            .where(Delivery.owner_id.in_(select(Erasure.user_id)), Delivery.deleted_at.is_(None))
        )
        assert db.session.execute(orphans).scalar_one() == 0


def test_a_delivery_that_is_finished_at_the_same_moment_is_erased_now_or_soon(app, people, grace):
    shop, admin, dispatcher = people.customer(), people.admin(), people.dispatcher()
    open_ones = [dispatcher.walk(ordered(shop, grace), "picked_up") for _ in range(3)]
    answers = race(
        *[lambda one=one: dispatcher.move(one, "delivered") for one in open_ones],
        lambda: admin.post("/api/privacy/erasures", json={"phone": grace.phone}),
    )
    assert {answer.status_code for answer in answers} <= {200, 202}
    keep_house(app)
    assert sightings(url_of(app), grace) == []
    assert broken(app) == []


def test_a_delivery_that_somebody_holds_is_left_for_the_next_round(app, people, grace):
    shop, admin = people.customer(), people.admin()
    people.dispatcher().walk(ordered(shop, grace), "picked_up", "delivered")
    with app.app_context():
        is_postgresql = db.engine.dialect.name == "postgresql"
    if is_postgresql:
        with app.app_context(), db.engine.begin() as holder:
            holder.execute(select(Delivery.id).with_for_update())
            assert admin.post("/api/privacy/erasures", json={"email": grace.email}).status_code == 202
    else:  # one writer: nobody holds anything beside it
        assert admin.post("/api/privacy/erasures", json={"email": grace.email}).status_code == 200
    keep_house(app)
    assert sightings(url_of(app), grace) == []


def test_two_crons_change_each_delivery_once(app, people, grace, monkeypatch):
    monkeypatch.setattr(services, "AT_ONCE", 0)
    shop, admin, dispatcher = people.customer(), people.admin(), people.dispatcher()
    for _ in range(4):
        dispatcher.walk(ordered(shop, grace), "picked_up", "delivered")
    admin.post("/api/privacy/erasures", json={"email": grace.email})

    def keep():
        with app.app_context():
            Housekeeping().do()

    race(*[keep] * 3)
    keep()
    with app.app_context():
        edits = select(func.count()).select_from(DeliveryEvent).where(DeliveryEvent.kind == "edited")
        assert db.session.execute(edits).scalar_one() == 4
    assert broken(app) == []


def test_a_worker_that_sends_meanwhile_sends_or_suppresses_and_never_again(app, people, grace):
    shop, admin, mail = people.customer(), people.admin(), MemoryTransport()
    for _ in range(5):
        people.dispatcher().walk(ordered(shop, grace), "picked_up", "delivered")
    with app.app_context():
        notifications.init_app(app, COMPOSERS, transports={Channel.MAIL: mail, Channel.SMS: MemoryTransport()})

    def work():
        with app.app_context():
            deliver("mail", seconds=10)

    race(work, lambda: admin.post("/api/privacy/erasures", json={"email": grace.email}))
    work()
    with app.app_context():
        rows = (
            db.session.execute(
                select(OutboxMessage).where(OutboxMessage.audience == "recipient", OutboxMessage.channel == "mail")
            )
            .scalars()
            .all()
        )
        ends = {(row.state, row.error_class) for row in rows}
        assert ends <= {("sent", None), ("cancelled", "erased"), ("suppressed", "no_address")}
        sent = {identity for identity, _ in mail.sent}
        assert {row.id for row in rows if row.state == "sent"} == sent & {row.id for row in rows}
    before = len(mail.sent)
    work()
    assert len(mail.sent) == before
    assert sightings(url_of(app), grace) == []


def test_a_draft_that_is_sent_off_at_the_same_moment_is_in_nobodys_way(app, people):
    owner, admin = people.customer(), people.admin()
    draft = owner.create(draft=True)
    erased, moved = race(lambda: admin.post(f"/api/users/{owner.user_id}/erase"), lambda: owner.move(draft, "pending"))
    assert erased.status_code in {204, 409}
    assert moved.status_code in {200, 401, 404, 409}
    with app.app_context():
        row = db.session.get(Delivery, UUID(draft["id"]))
        assert (row.deleted_at is not None) == (erased.status_code == 204)
    assert broken(app) == []


def test_a_draft_in_somebodys_hands_is_not_waited_for(app, people):
    owner, admin = people.customer(), people.admin()
    owner.create(draft=True)
    path = f"/api/users/{owner.user_id}/erase"
    with app.app_context():
        if db.engine.dialect.name == "postgresql":  # SQLite has one writer, who holds everything
            with db.engine.begin() as holder:
                holder.execute(select(Delivery.id).with_for_update())
                problem(admin.post(path), 409, "lost_race")
            assert erasures(app) == []
    assert admin.post(path).status_code == 204
