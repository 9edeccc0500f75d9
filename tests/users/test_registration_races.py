"""The same address many times at once: one account, one link to confirm it, and nobody sees an error."""

from collections import Counter

from sqlalchemy import func, select

from delivery.database import db
from delivery.notifications.models import OutboxMessage
from delivery.users import services
from delivery.users.models import User
from tests.auth.links import PASSWORD
from tests.web.answers import problem
from tests.web.racing import race

RACERS = 12


def test_one_address_becomes_one_account(app):
    body = {"name": "Ada", "email": "ada@shop.example", "password": PASSWORD}
    responses = race(*[lambda: app.test_client().post("/api/users", json=body)] * RACERS)

    assert {response.status_code for response in responses} == {202}
    assert len({response.data for response in responses}) == 1
    with app.app_context():
        assert db.session.execute(select(func.count()).select_from(User)).scalar_one() == 1
        told = Counter(db.session.execute(select(OutboxMessage.template)).scalars())
    assert told == {"verify_email": 1, "already_registered": RACERS - 1}


def test_two_admins_who_create_one_user_make_one(people):
    admin = people.admin()
    body = {"name": "Ada", "email": "ada@shop.example", "password": PASSWORD, "role": "courier"}
    responses = race(*[lambda: admin.post("/api/users", json=body)] * RACERS)
    assert Counter(response.status_code for response in responses) == {201: 1, 409: RACERS - 1}


def test_one_of_many_changes_of_one_version_wins(api):
    path = f"/api/users/{api.user_id}"
    responses = race(*[lambda: api.patch(path, json={"name": "B"}, headers={"If-Match": '"1"'})] * RACERS)
    assert Counter(response.status_code for response in responses) == {200: 1, 412: RACERS - 1}


def test_of_an_erasure_and_a_change_neither_breaks(people):
    admin, leaver = people.admin(), people.customer()
    path = f"/api/users/{leaver.user_id}"
    responses = race(
        *[lambda: admin.patch(path, json={"name": "B"}, headers={"If-Match": "*"})] * 4,
        *[lambda: admin.delete(path, headers={"If-Match": "*"})] * 4,
    )
    assert {response.status_code for response in responses} <= {200, 204, 404}
    assert [response.status_code for response in responses].count(204) == 1


def test_an_address_that_becomes_free_at_this_moment_is_to_be_asked_for_again(client, monkeypatch):
    """Taken when it was tried, and erased before it was looked up: rare, but no reason for a 500."""
    monkeypatch.setattr(services, "_insert_unless_taken", lambda **_: None)
    body = {"name": "Ada", "email": "ada@shop.example", "password": PASSWORD}
    response = client.post("/api/users", json=body)
    problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "1"
