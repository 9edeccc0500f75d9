"""Erasing an account, by DELETE or by POST erase: one act, and nothing of the person is left in any table."""

from uuid import UUID

import pytest
from sqlalchemy import insert, select, update

from delivery import clock, notifications
from delivery.audit import services as audit_services
from delivery.auth.models import AuthSession
from delivery.database import db, transaction
from delivery.deliveries.models import DeliveryEventDetail
from delivery.notifications import claims, opt_outs, preferences
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.jobs import deliver
from delivery.notifications.models import OutboxMessage
from delivery.notifications.preferences import NotificationPreference, Wishes
from delivery.notifications.states import Channel, MessageState
from delivery.privacy import services
from delivery.privacy.models import Erasure
from delivery.subscriptions import COMPOSERS
from delivery.users import services as users
from delivery.users.models import FormerEmail, User
from tests.deliveries.chains import broken
from tests.factories import PASSWORD, delivery_in
from tests.privacy.canaries import Canaries, entries, keep_house, row_of, sightings, url_of
from tests.privacy.test_exports import ask, unpacked
from tests.web.answers import problem


@pytest.fixture
def ada():
    return Canaries("ada")


@pytest.fixture
def shop(people, ada):
    return people.customer(name=ada["name"], email=ada.email, phone=ada.phone)


def by_post(by, user):
    return by.post(f"/api/users/{user.user_id}/erase")


def by_delete(by, user):
    return by.delete(f"/api/users/{user.user_id}", headers={"If-Match": "*"})


def order(shop, ada, number=1, **changes):
    body = delivery_in(pickup=ada.address(), description=ada["description"], **changes)
    response = shop.post("/api/deliveries", json=body, headers={"Idempotency-Key": f"{ada['key']}-{number}"})
    assert response.status_code == 201, response.text
    return response.json


@pytest.mark.parametrize("erase", [by_post, by_delete])
def test_nothing_of_a_customer_is_left_and_their_deliveries_stay(app, people, shop, ada, erase):
    dispatcher, admin = people.dispatcher(), people.admin()
    credentials = {"email": ada.email, "password": PASSWORD}
    shop.client.post("/api/auth/login", json=credentials, headers={"User-Agent": ada["agent"]})
    delivery = order(shop, ada, reference="order-1", tags=["fragile"])
    draft, cancelled = order(shop, ada, 2, draft=True), order(shop, ada, 3)
    shop.move(cancelled, "cancelled", note=ada["note"], public_note=ada["public"])
    dispatcher.walk(delivery, "picked_up", "delivered")
    admin.patch(  # the answer is saved under the admin's key
        f"/api/users/{shop.user_id}", json={"locale": "de"}, headers={"If-Match": "*", "Idempotency-Key": "by-admin"}
    )
    former = {"user_id": UUID(shop.user_id), "email": ada["former"], "changed_at": clock.now()}
    with app.app_context(), transaction() as session:
        session.execute(insert(FormerEmail).values(former))
        session.execute(update(User).where(User.email == ada.email).values(new_email=ada["new"]))
        # Somebody else wants the address, and had it once.
        other = UUID(dispatcher.user_id)
        session.execute(update(User).where(User.id == other).values(new_email=ada.email, email_nonce="0" * 32))
        session.execute(insert(FormerEmail).values(user_id=other, email=ada.email, changed_at=clock.now()))
    assert len({table for table, _ in sightings(url_of(app), ada)}) >= 6, "the test sees what there is"

    assert erase(shop, shop).status_code == 204

    assert sightings(url_of(app), ada) == []
    now_is = dispatcher.get(f"/api/deliveries/{delivery['id']}").json
    facts = ("id", "tracking_number", "item_name", "reference", "tags", "created_at", "owner_id", "recipient")
    assert {name: now_is[name] for name in facts} == {name: delivery[name] for name in facts}
    assert now_is["destination"] == delivery["destination"], "the recipient's is not the sender's to erase"
    assert now_is["pickup"] == {"line1": "Erased", "city": "Bristol", "country": "GB"}
    assert row_of(app, draft).recipient_email is None, "nobody needs a deleted draft's"
    assert broken(app) == []


def test_of_a_courier_their_notes_and_positions_go(app, people, ada):
    courier, dispatcher = people.courier(name=ada["name"], email=ada.email), people.dispatcher()
    delivery = dispatcher.create()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id, note="by the dispatcher")
    courier.move(delivery, "picked_up", note=ada["note"], location=ada.place)
    courier.move(delivery, "delivered", public_note=ada["public"], location=ada.place)
    assert by_post(courier, courier).status_code == 204
    assert sightings(url_of(app), ada) == []
    history = dispatcher.history(delivery)
    assert [(event["note"], event["location"]) for event in history] == [
        (None, None), ("by the dispatcher", None), (None, None), (None, None),
    ]  # fmt: skip
    assert {event["actor_id"] for event in history[2:]} == {courier.user_id}
    assert len(history) == 4, "words are no part of the version"


def test_their_rows_go_and_others_stay(app, people, shop):
    other = people.customer()
    by_post(shop, shop)
    with app.app_context():
        assert db.session.execute(select(AuthSession.user_id)).scalars().all() == [UUID(other.user_id)]
    assert other.get("/api/auth/me").status_code == 200
    problem(shop.get("/api/auth/me"), 401)


def test_queued_messages_are_cancelled(app, people, shop, ada):
    delivery = order(shop, ada)
    people.dispatcher().walk(delivery, "picked_up", "delivered")
    by_post(shop, shop)
    with app.app_context():
        rows = db.session.execute(select(OutboxMessage)).scalars().all()
        states = {(row.audience, row.state, row.error_class) for row in rows}
        assert states == {("sender", "cancelled", "erased"), ("recipient", "pending", None)}
        assert all((row.settled_at is None) == (row.state == "pending") for row in rows)


def test_a_message_in_a_workers_hands_is_suppressed(app, people, shop, ada):
    people.dispatcher().walk(order(shop, ada), "picked_up", "delivered")
    mail = MemoryTransport()
    with app.app_context():
        notifications.init_app(app, COMPOSERS, transports={Channel.MAIL: mail, Channel.SMS: MemoryTransport()})
        with transaction():
            claimed = claims.claim("mail", limit=100)
    assert [one for one in claimed if str(one.recipient_id) == shop.user_id]
    by_post(shop, shop)
    with app.app_context():
        query = select(OutboxMessage.state).where(OutboxMessage.recipient_id == UUID(shop.user_id))
        assert set(db.session.execute(query).scalars()) == {MessageState.SENDING, MessageState.CANCELLED}
        for message in claimed:
            composed = COMPOSERS[message.template]([message])[message.id]
            assert (ada.email in str(composed)) is False
        with transaction() as session:  # its lease is over: another worker takes it, and finds no address
            in_hand = update(OutboxMessage).where(OutboxMessage.state == "sending")
            session.execute(in_hand.values(next_at=OutboxMessage.created_at))
        deliver("mail", seconds=5)
        left = set(db.session.execute(query.add_columns(OutboxMessage.error_class)).all())
        assert left == {("cancelled", "erased"), ("suppressed", "no_address")}
    assert mail.sent, "the recipient's are sent"
    assert ada.email not in str(mail.sent)


@pytest.mark.parametrize("template", sorted(COMPOSERS))
def test_no_message_finds_the_address_of_somebody_erased(app, people, shop, ada, template):
    people.dispatcher().walk(order(shop, ada), "picked_up", "delivered")
    by_post(shop, shop)
    ids = dict.fromkeys(("former_id", "endpoint_id"), str(UUID(int=1)))
    with app.app_context():
        with transaction() as session:
            [first, *_] = session.execute(
                select(OutboxMessage).where(OutboxMessage.audience == "sender").order_by(OutboxMessage.id)
            ).scalars()
            session.execute(
                update(OutboxMessage)
                .where(OutboxMessage.id == first.id)
                .values(state="pending", settled_at=None, template=template, data=ids)
            )
            claimed = [one for one in claims.claim("mail", limit=100) if one.id == first.id]
        [message] = claimed
        assert type(COMPOSERS[template]([message])[message.id]).__name__ == "Suppress"


def test_it_is_refused_while_deliveries_are_open_and_then_nothing_has_changed(app, shop, ada):
    order(shop, ada)
    for erase in (by_post, by_delete):
        problem(erase(shop, shop), 409, "open_deliveries")
    assert shop.get("/api/auth/me").json["version"] == 1
    with app.app_context():
        assert db.session.execute(select(Erasure)).all() == []
        assert {row.state for row in db.session.execute(select(OutboxMessage)).scalars()} == {"pending"}


def test_the_last_admin_stays(people):
    admin = people.admin()
    problem(by_post(admin, admin), 409, "last_admin")
    people.admin()
    assert by_post(admin, admin).status_code == 204


def test_who_may_erase_whom(people):
    admin, leaver = people.admin(), people.customer()
    for who in (people.customer(), people.courier(), people.dispatcher()):
        problem(by_post(who, leaver), 404)
    assert by_post(admin, leaver).status_code == 204
    problem(by_post(admin, leaver), 404)


def test_a_version_is_heeded_when_it_is_sent(people):
    leaver = people.customer()
    response = leaver.post(f"/api/users/{leaver.user_id}/erase", headers={"If-Match": '"7"'})
    problem(response, 412, "stale_version")
    assert leaver.post(f"/api/users/{leaver.user_id}/erase", headers={"If-Match": '"1"'}).status_code == 204


def test_the_log_and_the_list_of_erasures_say_so(app, people, shop):
    admin = people.admin()
    by_post(shop, shop)
    [entry] = [one for one in entries(app) if one.act == "user.erased"]
    assert (str(entry.object_id), str(entry.actor_id)) == (shop.user_id, shop.user_id)
    [listed] = admin.get("/api/privacy/erasures").json["items"]
    assert (listed["kind"], listed["user_id"], listed["waiting"]) == ("user", shop.user_id, 0)
    assert listed["finished_at"]
    with app.app_context():
        assert audit_services.verify().broken_at is None


def test_a_long_history_is_erased_a_few_at_once_and_the_rest_by_cron(app, people, shop, ada, monkeypatch):
    monkeypatch.setattr(services, "AT_ONCE", 2)
    for number in range(4):
        shop.move(order(shop, ada, number), "cancelled", note=ada["note"])
    by_post(shop, shop)
    with app.app_context():
        assert len(db.session.execute(select(DeliveryEventDetail)).all()) == 2
        assert db.session.execute(select(Erasure.finished_at)).scalar_one() is None
    keep_house(app)
    assert sightings(url_of(app), ada) == []
    with app.app_context():
        erasure = db.session.execute(select(Erasure)).scalar_one()
        assert erasure.finished_at
        assert (erasure.counts["deliveries"], erasure.counts["words"]) == (4, 4)
    assert broken(app) == []


def test_a_session_that_was_opened_at_the_same_moment_goes_with_cron(app, people, shop):
    by_post(shop, shop)
    with app.app_context(), transaction() as session:
        row = session.execute(select(AuthSession.created_at, AuthSession.expires_at)).first()
        assert row is None
    other = people.customer()
    with app.app_context(), transaction() as session:
        row = session.execute(select(AuthSession)).scalar_one()
        values = {"created_at": row.created_at, "expires_at": row.expires_at, "user_id": UUID(shop.user_id)}
        session.execute(insert(AuthSession).values(values))
    keep_house(app)
    with app.app_context():
        assert db.session.execute(select(AuthSession.user_id)).scalars().all() == [UUID(other.user_id)]


def test_erasing_again_finds_nobody(app, shop):
    by_post(shop, shop)
    with app.app_context(), pytest.raises(users.NotFound), transaction():
        users.erase_again(UUID(shop.user_id))


def test_preferences_go_and_an_opt_out_stays(app, people):
    """Who asked for silence must not be written to for having been forgotten."""
    ada, admin = people.customer(email="ada@shop.example"), people.admin()
    path = f"/api/users/{ada.user_id}/notification-preferences"
    assert ada.put(path, json={"locale": "de", "events": {"lost": {"sender": {"mail": False}}}}).status_code == 200
    with app.app_context(), transaction():
        opt_outs.opt_out("mail", "ada@shop.example", "link")
        preferences.replace(Wishes({}, "fr"), address_hash=opt_outs.address_hash("mail", "grace@home.example"))
    exported = unpacked(ask(ada).data)
    assert [one["locale"] for one in exported["notification_preferences"]] == ["de"]
    assert [(one["channel"], one["source"]) for one in exported["opt_outs"]] == [("mail", "link")]

    assert admin.post(f"/api/users/{ada.user_id}/erase").status_code == 204
    admin.post("/api/privacy/erasures", json={"email": "grace@home.example"})

    with app.app_context():
        assert db.session.execute(select(NotificationPreference.__table__)).all() == []
        assert opt_outs.opted_out([("mail", "ada@shop.example")])
