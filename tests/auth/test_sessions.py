"""A token is as alive as its session: whatever ends it, the very next request is a 401."""

import pytest
from sqlalchemy import delete, update

from delivery.auth.models import AuthSession
from delivery.database import now, transaction
from delivery.users.models import User
from tests.auth.signing_in import login, refresh, signed_in_again
from tests.factories import PASSWORD
from tests.web.answers import problem

SEEN = {"If-Match": "*"}


def change(by, user, **fields):
    response = by.patch(f"/api/users/{user.user_id}", json=fields, headers=SEEN)
    assert response.status_code == 200, response.text


ENDINGS = {
    "deactivation": lambda admin, user: change(admin, user, active=False),
    "another role": lambda admin, user: change(admin, user, role="courier"),
    "erasure": lambda admin, user: admin.delete(f"/api/users/{user.user_id}", headers=SEEN),
    "erasure by oneself": lambda _, user: user.delete(f"/api/users/{user.user_id}", headers=SEEN),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_all_sessions_end_at_once(people, name):
    admin, user = people.admin(), people.customer()
    second = signed_in_again(user)
    ENDINGS[name](admin, user)
    for session in (user, second):
        for method, path in (("GET", "/api/auth/me"), ("POST", "/api/auth/logout"), ("GET", "/api/deliveries")):
            response = session.request(method, path)
            problem(response, 401, "unauthorized")
            assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        problem(session.post("/api/users", json={}), 401)
        problem(refresh(session.client, session.refresh_token), 401, "invalid_refresh_token")


def test_what_changes_nothing_about_access_ends_no_session(people):
    admin, user = people.admin(), people.customer()
    change(admin, user, role="customer", active=True, name="B")
    change(user, user, locale="de")
    assert user.get("/api/auth/me").status_code == 200


def test_being_activated_again_brings_no_session_back(people, client):
    admin, user = people.admin(), people.customer(email="ada@shop.example")
    change(admin, user, active=False)
    problem(login(client, "ada@shop.example", PASSWORD), 401)
    change(admin, user, active=True)
    problem(user.get("/api/auth/me"), 401)
    problem(refresh(client, user.refresh_token), 401)
    assert login(client, "ada@shop.example", PASSWORD).status_code == 200


def test_logging_out_ends_this_session_and_no_other(people):
    user, other = people.customer(), people.customer()
    second = signed_in_again(user)
    response = user.post("/api/auth/logout")

    assert (response.status_code, response.data) == (204, b"")
    problem(user.get("/api/auth/me"), 401)
    problem(user.post("/api/auth/logout"), 401)
    problem(refresh(user.client, user.refresh_token), 401)
    assert refresh(second.client, second.refresh_token).status_code == 200
    assert second.get("/api/auth/me").status_code == 200
    assert other.get("/api/auth/me").status_code == 200


def test_logging_out_needs_no_body_and_minds_none(people):
    for options in ({}, {"data": b"{", "content_type": "application/json"}, {"json": {"all": True}}):
        assert people.customer().post("/api/auth/logout", **options).status_code == 204


def test_me_is_oneself(people):
    for who in (people.customer(), people.courier(), people.dispatcher(), people.admin()):
        response = who.get("/api/auth/me")
        assert response.json == who.get(f"/api/users/{who.user_id}").json
        assert response.json["id"] == who.user_id
        assert response.headers["ETag"] == '"1"'
        assert "password_hash" not in response.json


@pytest.mark.parametrize(
    "statement",
    [
        update(User).values(active=False),
        update(User).values(epoch=2),
        update(AuthSession).values(revoked_at=now()),
        update(AuthSession).values(expires_at=now(plus=-1)),
        delete(AuthSession),
    ],
    ids=["inactive", "a newer epoch", "a session that ended", "a session of age", "no session"],
)
def test_each_guard_holds_alone(app, api, statement):
    """Deactivating somebody does all of it at once; none of it may rest on the others."""
    with app.app_context(), transaction() as session:
        session.execute(statement)
    problem(api.get("/api/auth/me"), 401, "unauthorized")
