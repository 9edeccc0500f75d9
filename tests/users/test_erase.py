"""DELETE /api/users/{id}: refused while deliveries are open; then the person is gone, and the records are not."""

from uuid import UUID

import pytest

from delivery.database import db
from delivery.deliveries.models import Delivery
from delivery.users.models import User
from tests.auth.signing_in import login
from tests.deliveries.chains import broken
from tests.web.answers import problem

SEEN = {"If-Match": "*"}


def erase(by, user, **headers):
    return by.delete(f"/api/users/{user.user_id}", headers=headers or SEEN)


def row_of(app, user):
    with app.app_context():
        return db.session.get(User, UUID(user.user_id))


def test_nothing_personal_is_left(app, client, people):
    leaver = people.customer(name="Ada Shop", email="ada@shop.example", phone="+442079460000")
    response = erase(leaver, leaver)

    assert (response.status_code, response.data) == (204, b"")
    row = row_of(app, leaver)
    assert (row.email, row.phone, row.password_hash, row.active) == (None, None, "", False)
    assert "Ada" not in row.name
    assert row.erased_at is not None
    assert (row.version, row.epoch) == (2, 2)
    problem(leaver.get("/api/auth/me"), 401)
    problem(login(client, "ada@shop.example"), 401)
    problem(login(client, ""), 422)


def test_who_may_erase_whom(people):
    admin, leaver = people.admin(), people.customer()
    for who in (people.customer(), people.courier(), people.dispatcher()):
        problem(erase(who, leaver), 404)
    assert erase(admin, leaver).status_code == 204
    problem(erase(admin, leaver), 404)
    people.admin()  # for one has to stay
    assert erase(admin, admin).status_code == 204


@pytest.mark.parametrize("ways", [[], ["on_hold"], ["picked_up"], ["picked_up", "in_transit", "attempt_failed"]])
def test_an_open_delivery_keeps_its_owner(app, people, ways):
    owner, dispatcher = people.customer(), people.dispatcher()
    delivery, draft = owner.create(), owner.create(draft=True)
    dispatcher.walk(delivery, *ways)
    problem(erase(owner, owner), 409, "open_deliveries")
    assert owner.get("/api/auth/me").json["version"] == 1
    assert owner.get(f"/api/deliveries/{draft['id']}").json == draft, "a refusal deletes no drafts"


def test_an_open_delivery_keeps_its_courier(people):
    courier, dispatcher = people.courier(), people.dispatcher()
    delivery = dispatcher.create()
    dispatcher.move(delivery, "assigned", courier_id=courier.user_id)
    problem(erase(courier, courier), 409, "open_deliveries")
    dispatcher.walk(delivery, "pending")
    assert erase(courier, courier).status_code == 204


def test_drafts_go_and_what_is_finished_stays(app, people):
    owner, dispatcher = people.customer(), people.dispatcher()
    delivered, cancelled, draft, deleted = (owner.create(draft=number == 2) for number in range(4))
    dispatcher.walk(delivered, "picked_up", "delivered")
    owner.walk(cancelled, "cancelled")
    assert owner.delete(f"/api/deliveries/{deleted['id']}", headers=SEEN).status_code == 204
    assert erase(owner, owner).status_code == 204

    left = [item["id"] for item in dispatcher.get("/api/deliveries?sort=created_at").json["items"]]
    assert left == [delivered["id"], cancelled["id"]]
    assert dispatcher.get(f"/api/deliveries/{delivered['id']}").json["owner_id"] == owner.user_id
    problem(dispatcher.get(f"/api/deliveries/{draft['id']}"), 404)
    with app.app_context():
        gone = db.session.get(Delivery, UUID(draft["id"]))
        assert (gone.deleted_at is not None, gone.version) == (True, 3), "deleted, then emptied"
    assert broken(app) == []


def test_an_erased_person_takes_part_in_nothing_new(people):
    dispatcher, courier = people.dispatcher(), people.courier()
    erase(courier, courier)
    delivery = dispatcher.create()
    problem(dispatcher.move(delivery, "assigned", courier_id=courier.user_id), 422)


def test_erasing_starts_from_the_version_that_was_seen(people):
    leaver = people.customer()
    problem(leaver.delete(f"/api/users/{leaver.user_id}"), 428)
    response = erase(leaver, leaver, **{"If-Match": '"7"'})
    problem(response, 412, "stale_version")
    assert response.headers["ETag"] == '"1"'


def test_the_history_still_says_that_it_was_they(app, people):
    owner, dispatcher = people.customer(), people.dispatcher()
    delivery = owner.create()
    owner.walk(delivery, "cancelled")
    erase(owner, owner)
    assert {event["actor_id"] for event in dispatcher.history(delivery)} == {owner.user_id}
