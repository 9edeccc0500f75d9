"""REGISTRATION: open, by invitation, closed; limited wherever it is open; written down, and alike for every address."""

import pytest

from tests.audit.entries import acts
from tests.auth.links import PASSWORD, register
from tests.conftest import counted
from tests.factories import People
from tests.web.answers import problem, wrong

ADA = {"name": "Ada", "email": "ada@shop.example", "password": PASSWORD}
SHUT = ("invitation", "closed")


@pytest.fixture(params=SHUT)
def shut(request, make_app):
    return make_app(REGISTRATION=request.param)


def test_where_it_is_not_open_nobody_registers(shut):
    client, people = shut.test_client(), People(shut)
    problem(client.post("/api/users", json=ADA), 403, "registration_closed")
    for who in (people.customer(), people.courier(), people.dispatcher()):
        problem(who.post("/api/users", json=ADA), 403, "registration_closed")
    assert acts(shut, "user.registered") == []


def test_the_refusal_comes_before_any_look_at_the_body(shut):
    client = shut.test_client()
    hostile = [
        {"json": {}}, {"data": "{", "content_type": "application/json"}, {"data": "x", "content_type": "text/plain"},
        {"data": "x" * 2_000_000, "content_type": "application/json"}, {},
    ]  # fmt: skip
    for options in hostile:
        problem(client.post("/api/users", **options), 403, "registration_closed")


def test_who_says_to_be_somebody_is_asked_first(shut):
    problem(shut.test_client().post("/api/users", json=ADA, headers={"Authorization": "Bearer x.y.z"}), 401)


def test_an_admin_always_makes_accounts(shut):
    admin = People(shut).admin()
    assert admin.post("/api/users", json={**ADA, "role": "courier"}).status_code == 201
    assert wrong(admin.post("/api/users", json={})).keys() == {"/name", "/email", "/password"}


def test_from_one_address_ten_an_hour_register(app, client, people, travel):
    for number in range(10):
        register(client, f"user{number}@x.example")
    limited = client.post("/api/users", json=ADA)
    problem(limited, 429, "too_many_requests")
    assert int(limited.headers["Retry-After"]) > 3500
    problem(people.customer().post("/api/users", json=ADA), 429)

    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.post("/api/users", json=ADA, environ_overrides=elsewhere).status_code == 202
    assert people.admin().post("/api/users", json={**ADA, "email": "b@x.example"}).status_code == 201
    travel(hours=1, seconds=1)
    register(client, "later@x.example")


def test_a_slip_of_the_hand_is_no_attempt(client):
    for _ in range(12):
        wrong(client.post("/api/users", json={**ADA, "password": "short"}))
    register(client, "ada@shop.example")


def test_a_free_and_a_taken_address_cost_the_same_statements(app, client):
    def asked():
        with counted(app) as statements:
            register(client, "ada@shop.example")
        return statements

    assert asked() == asked()


def test_it_is_written_down_who_registered_and_who_was_there_already(app, client, people):
    ada = people.customer(email="ada@shop.example")
    register(client, "ada@shop.example")
    register(client, "bob@shop.example")
    (made, ada_id, _), (refused, same_id, _), (registered, bob_id, details) = acts(app, "user.*")
    assert (made, refused, registered) == ("user.created", "user.registration_refused", "user.registered")
    assert str(ada_id) == str(same_id) == ada.user_id != str(bob_id)
    assert details == {}
