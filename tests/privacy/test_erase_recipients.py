"""Forgetting a recipient: nothing of them is left in any table, and what the delivery was stays."""

from uuid import UUID

import pytest
from sqlalchemy import func, select

from delivery import clock
from delivery.database import db, transaction
from delivery.deliveries.models import DeliveryEventDetail
from delivery.idempotency import IdempotencyKey
from delivery.notifications.models import OutboxMessage
from delivery.privacy import services
from delivery.users.models import FormerEmail, User
from tests.auth.invitations import accept
from tests.deliveries.chains import broken
from tests.factories import delivery_in
from tests.privacy.canaries import Canaries, entries, hold, keep_house, row_of, sightings, url_of
from tests.web.answers import problem, wrong


@pytest.fixture
def grace():
    return Canaries("grace")


@pytest.fixture
def shop(people):
    return people.customer()


@pytest.fixture
def admin(people):
    return people.admin()


def order(shop, grace, **changes):
    body = delivery_in(
        recipient=grace.recipient(), destination=grace.address(), description=grace["description"], **changes
    )
    response = shop.post("/api/deliveries", json=body, headers={"Idempotency-Key": grace["key"]})
    assert response.status_code == 201, response.text
    return response.json


def deliver(by, delivery, grace):
    for to in ("picked_up", "delivered"):
        words = {"note": grace[f"{to}-note"], "public_note": grace[f"{to}-public"]}
        response = by.post(
            f"/api/deliveries/{delivery['id']}/transitions",
            json={"to": to, **words, "location": grace.place},
            headers={"Idempotency-Key": f"{to}-{delivery['id']}"},
        )
        assert response.status_code == 200, response.text


def erase(admin, status=200, **who):
    response = admin.post("/api/privacy/erasures", json=who)
    assert response.status_code == status, response.text
    return response.json


def but_keys(canaries):
    """An Idempotency-Key is the client's own word, and stays: it keeps a repeat from having a second effect."""
    canaries.words.pop("key", None)
    return canaries


def test_nothing_of_a_recipient_is_left_and_the_delivery_stays(app, people, shop, admin, grace):
    delivery = order(shop, grace, reference="order-1", tags=["fragile"])
    deliver(people.dispatcher(), delivery, grace)
    seen = {table for table, _ in sightings(url_of(app), but_keys(grace))}
    assert seen >= {"deliveries", "delivery_event_details", "idempotency_keys"}, "the test sees what there is"

    done = erase(admin, email=grace.email)

    assert sightings(url_of(app), grace) == []
    assert done["finished_at"]
    assert done["waiting"] == 0
    assert done["counts"] == {"deliveries": 1, "messages": 3, "answers": 3}
    now_is = shop.get(f"/api/deliveries/{delivery['id']}").json
    facts = ("id", "tracking_number", "item_name", "reference", "tags", "window", "created_at", "owner_id", "package")
    assert {name: now_is[name] for name in facts} == {name: delivery[name] for name in facts}
    assert now_is["status"] == "delivered"
    assert now_is["picked_up_at"]
    assert now_is["recipient"] == {"name": "Erased", "email": None, "phone": None, "locale": "en"}
    assert now_is["destination"] == {"line1": "Erased", "city": "Bristol", "country": "GB"}
    assert broken(app) == []


def test_nothing_is_left_of_who_was_invited_or_whose_address_was_wanted_or_had_before(
    app, client, people, admin, grace
):
    wanting, leaving, other = people.customer(), people.customer(), Canaries("other")
    token = hold(app, admin, grace, wanting=wanting, leaving=leaving)
    hold(app, admin, other, wanting=people.customer(), leaving=leaving)
    seen = {"invitations", "users", "former_emails", "idempotency_keys"}
    assert {table for table, _ in sightings(url_of(app), grace)} == seen, "the test sees what there is"

    done = erase(admin, email=grace.email)

    assert sightings(url_of(app), grace) == []
    assert (done["counts"], done["waiting"]) == ({"addresses": 2, "invitations": 1, "answers": 1}, 0)
    assert done["finished_at"]
    problem(accept(client, token), 400, "invalid_token")
    with app.app_context():
        one = db.session.get(User, UUID(wanting.user_id))
        assert (one.new_email, one.email_nonce) == (None, None)
        assert one.email
    assert {table for table, _ in sightings(url_of(app), other)} == seen, "others are left alone"


def test_an_account_that_has_the_address_is_left_alone(app, people, admin, grace):
    owner = people.customer(name=grace["owner"], email=grace.email)
    before = owner.get("/api/auth/me").json
    erase(admin, email=grace.email)
    assert owner.get("/api/auth/me").json == before


def test_a_number_alone_touches_no_address(app, people, admin, grace):
    hold(app, admin, grace, wanting=people.customer(), leaving=people.customer())
    before = sightings(url_of(app), grace)
    erase(admin, phone=grace.phone)
    assert sightings(url_of(app), grace) == before


def test_an_answer_that_shows_the_address_an_account_had_is_emptied(app, people, admin, grace):
    body = {"name": "Kim", "email": grace.email, "role": "customer", "password": "correct horse battery"}
    made = admin.post("/api/users", json=body, headers={"Idempotency-Key": "made"})
    assert made.status_code == 201, made.text
    with app.app_context(), transaction() as session:
        session.get(User, UUID(made.json["id"])).email = "now@other.example"
        session.add(FormerEmail(user_id=UUID(made.json["id"]), email=grace.email, changed_at=clock.now()))
    assert {table for table, _ in sightings(url_of(app), grace)} == {"former_emails", "idempotency_keys"}
    erase(admin, email=grace.email)
    assert sightings(url_of(app), grace) == []


def test_it_is_one_more_version_and_one_more_event_and_nobody_is_told(app, people, shop, admin, grace):
    delivery = order(shop, grace)
    deliver(people.dispatcher(), delivery, grace)
    with app.app_context():
        told = db.session.execute(select(func.count()).select_from(OutboxMessage)).scalar_one()
    erase(admin, phone=grace.phone)
    last = shop.history(delivery)[-1]
    shown = [last[name] for name in ("seq", "kind", "from_state", "to_state", "reason_code", "actor_type")]
    assert shown == [4, "edited", "delivered", "delivered", "recipient_erased", "system"]
    assert shop.get(f"/api/deliveries/{delivery['id']}").json["version"] == 4
    with app.app_context():
        assert db.session.execute(select(func.count()).select_from(OutboxMessage)).scalar_one() == told


def test_an_open_delivery_keeps_its_address_until_it_is_over(app, people, shop, admin, grace):
    delivery, dispatcher = order(shop, grace), people.dispatcher()
    done = erase(admin, 202, email=grace.email)
    assert (done["waiting"], done["finished_at"]) == (1, None)
    assert shop.get(f"/api/deliveries/{delivery['id']}").json == delivery

    keep_house(app)
    assert shop.get(f"/api/deliveries/{delivery['id']}").json["recipient"]["name"] == grace["name"]

    deliver(dispatcher, delivery, grace)
    keep_house(app)
    assert sightings(url_of(app), but_keys(grace)) == []
    [listed] = admin.get("/api/privacy/erasures").json["items"]
    assert (listed["waiting"], listed["counts"]["deliveries"]) == (0, 1)
    assert listed["finished_at"]
    assert broken(app) == []


def test_a_deleted_delivery_is_over(app, shop, admin, grace):
    delivery = order(shop, grace)
    shop.delete(f"/api/deliveries/{delivery['id']}", headers={"If-Match": "*"})
    erase(admin, email=grace.email)
    assert sightings(url_of(app), but_keys(grace)) == []
    assert broken(app) == []


def test_what_is_delivered_there_later_is_new(app, people, shop, admin, grace):
    erase(admin, email=grace.email)
    delivery = order(shop, grace)
    deliver(people.dispatcher(), delivery, grace)
    keep_house(app)
    assert row_of(app, delivery).recipient_email == grace.email


def test_others_are_left_alone(app, people, shop, admin, grace):
    other = Canaries("other")
    theirs = order(shop, other)
    deliver(people.dispatcher(), theirs, other)
    before = shop.get(f"/api/deliveries/{theirs['id']}").json
    erase(admin, email=grace.email, phone=grace.phone)
    assert shop.get(f"/api/deliveries/{theirs['id']}").json == before
    assert shop.post("/api/deliveries", json=None, headers={}).status_code != 500


def test_an_address_or_a_number_is_enough_and_its_spelling_does_not_matter(app, people, shop, admin):
    by_mail, by_phone = Canaries("mail"), Canaries("phone")
    by_phone.email = "other@home.example"
    for who in (by_mail, by_phone):
        deliver(people.dispatcher(), order(shop, who), who)
    spelled = f"{by_phone.phone[:3]} {by_phone.phone[3:7]} {by_phone.phone[7:]}"
    done = erase(admin, email=by_mail.email.upper(), phone=spelled)
    assert done["counts"]["deliveries"] == 2
    assert sightings(url_of(app), but_keys(by_mail)) == []
    assert sightings(url_of(app), but_keys(by_phone)) == []


def test_a_repeat_after_the_answer_was_erased_has_no_second_effect(app, people, shop, admin, grace):
    delivery = order(shop, grace)
    deliver(people.dispatcher(), delivery, grace)
    erase(admin, email=grace.email)
    body = delivery_in(
        recipient=grace.recipient(), destination=grace.address(), description=grace["description"]
    )  # the same bytes
    again = shop.post("/api/deliveries", json=body, headers={"Idempotency-Key": grace["key"]})
    problem(again, 409, "answer_erased")
    assert len(shop.get("/api/deliveries").json["items"]) == 1


def test_an_old_delivery_costs_no_look_into_the_answers(app, people, grace, travel, count_statements):
    shop, dispatcher, other = people.customer(), people.dispatcher(), Canaries("other")
    for who in (grace, other):
        deliver(dispatcher, order(shop, who), who)
    for hours, who, looks in ((48, grace, 1), (2, other, 0)):
        travel(hours=hours)
        with app.app_context(), count_statements() as statements, transaction():
            services.erase_recipient(email=who.email, phone=None)
        assert len([one for one in statements if "idempotency_keys" in one]) == looks


def test_many_deliveries_are_erased_a_few_at_once_and_the_rest_by_cron(app, people, grace, monkeypatch):
    monkeypatch.setattr(services, "AT_ONCE", 2)
    dispatcher, shop = people.dispatcher(), people.customer()
    for number in range(5):
        grace.words["key"] = f"key-{number}"
        deliver(dispatcher, order(shop, grace), grace)
    done = erase(people.admin(), 202, email=grace.email)
    assert (done["counts"]["deliveries"], done["waiting"]) == (2, 3)
    with app.app_context():
        for expected in (2, 1, 0):
            with transaction():
                assert services.go_on(2) == expected
    assert sightings(url_of(app), but_keys(grace)) == []
    assert broken(app) == []


def test_two_people_at_one_time_stay_within_the_batch(app, people, shop, admin, monkeypatch):
    monkeypatch.setattr(services, "AT_ONCE", 0)
    dispatcher = people.dispatcher()
    for who, count in ((Canaries("one"), 2), (Canaries("two"), 1)):
        for number in range(count):
            who.words["key"] = f"{who.who}-{number}"
            deliver(dispatcher, order(shop, who), who)
        erase(admin, 202, email=who.email)
    with app.app_context():
        for expected in (2, 1, 0):
            with transaction():
                assert services.go_on(2) == expected


def test_queued_messages_to_the_recipient_are_cancelled_and_no_others(app, people, shop, admin, grace):
    deliver(people.dispatcher(), order(shop, grace), grace)
    erase(admin, email=grace.email)
    with app.app_context():
        rows = db.session.execute(select(OutboxMessage)).scalars().all()
        assert {(row.audience, row.state, row.error_class) for row in rows} == {
            ("sender", "pending", None),
            ("recipient", "cancelled", "erased"),
        }


def test_the_log_says_that_it_was_done_and_not_to_whom(app, admin, grace):
    done = erase(admin, email=grace.email)
    [entry] = [one for one in entries(app) if one.act == "recipient.erased"]
    assert (str(entry.object_id), entry.object_type, str(entry.actor_id)) == (done["id"], "erasure", admin.user_id)
    assert sightings(url_of(app), grace) == []


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/email": "invalid"}),
        ({"email": "no address"}, {"/email": "invalid"}),
        ({"phone": "0123"}, {"/phone": "invalid"}),
        ({"email": None, "phone": None}, {"/email": "invalid"}),
        ({"email": "a@b.example", "name": "x"}, {"/name": "unknown"}),
    ],
)
def test_what_names_nobody_is_refused(admin, body, pointers):
    assert wrong(admin.post("/api/privacy/erasures", json=body)) == pointers
    assert admin.get("/api/privacy/erasures").json["items"] == []


def test_only_admins_erase_recipients_and_see_the_list(people, grace):
    for who in (people.customer(), people.courier(), people.dispatcher()):
        problem(who.post("/api/privacy/erasures", json={"email": grace.email}), 403)
        problem(who.get("/api/privacy/erasures"), 403)


def test_the_list_pages_the_newest_first(admin):
    done = [erase(admin, email=f"person{number}@home.example")["id"] for number in range(3)]
    first = admin.get("/api/privacy/erasures?limit=2").json
    rest = admin.get(f"/api/privacy/erasures?limit=2&cursor={first['next_cursor']}").json
    assert [one["id"] for one in first["items"] + rest["items"]] == done[::-1]
    assert rest["next_cursor"] is None


def test_a_repeated_request_is_one_erasure(app, admin, grace):
    key = {"Idempotency-Key": "once"}
    one, two = (admin.post("/api/privacy/erasures", json={"email": grace.email}, headers=key) for _ in range(2))
    assert one.json == two.json
    assert len(admin.get("/api/privacy/erasures").json["items"]) == 1
    with app.app_context():
        body = db.session.execute(select(IdempotencyKey.body)).scalar_one()
        assert grace.email.encode() not in body


def test_a_recipient_nobody_knows_is_recorded_all_the_same(admin, grace):
    done = erase(admin, phone=grace.phone)
    assert (done["counts"], done["waiting"], done["email_hash"]) == ({}, 0, None)
    assert len(UUID(done["id"]).bytes) == 16
    assert len(done["phone_hash"]) == 64


def test_words_of_all_events_of_the_delivery_go(app, people, shop, admin, grace):
    delivery = order(shop, grace)
    deliver(people.dispatcher(), delivery, grace)
    erase(admin, email=grace.email)
    with app.app_context():
        assert db.session.execute(select(DeliveryEventDetail)).all() == []
    assert {event["note"] for event in people.dispatcher().history(delivery)} == {None}
