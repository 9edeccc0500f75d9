"""What API keys may do: what their scopes and their owner both may; and when one was used last."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from delivery.auth import key_checks
from delivery.auth.models import ApiKey
from delivery.database import transaction
from delivery.users.models import User
from tests.auth.keys import KEYS, key_of, made, using, works
from tests.factories import PASSWORD, delivery_in
from tests.web.answers import problem

NOBODYS = "0190a0a0-0000-7000-8000-000000000000"
SEEN = {"If-Match": "*"}


def test_a_typo_costs_no_statement(app, api, client, count_statements):
    secret = made(api)["secret"]
    with count_statements() as statements:
        for wrong_one in (secret[:-1], secret + "x", secret[:-1] + "é", "dms_live_", f"dms_live_{'0' * 49}"):
            problem(client.get("/api/auth/me", headers={"Authorization": f"Bearer {wrong_one}"}), 401)
    assert statements == []


def test_a_key_is_taken_from_the_header_alone(api, client):
    secret = made(api)["secret"]
    client.set_cookie("api_key", secret)
    for query in ("api_key", "key", "access_token"):
        problem(client.get(f"/api/auth/me?{query}={secret}"), 401)
    for header in ({"X-Api-Key": secret}, {"Authorization": secret}, {"Authorization": f"Basic {secret}"}):
        problem(client.get("/api/auth/me", headers=header), 401)
    for scheme in ("bearer", "BEARER"):
        assert client.get("/api/auth/me", headers={"Authorization": f"{scheme} {secret}"}).status_code == 200


def test_a_key_is_checked_by_one_read(app, api, count_statements):
    key = key_of(api)
    key.get("/api/auth/me").close()
    with count_statements() as statements:
        key.get("/api/auth/me").close()
    assert len(statements) == 2, "the check, and the account that was asked for"


def test_a_role_and_its_row_rules_hold_for_keys(people):
    """All scopes make nobody more than they are."""
    owner, stranger, admin = people.customer(), people.customer(), people.admin()
    delivery = owner.create()
    path = f"/api/deliveries/{delivery['id']}"
    hers, theirs, admins = key_of(owner), key_of(stranger), key_of(admin)

    assert hers.get(path).status_code == 200
    problem(theirs.get(path), 404)
    problem(theirs.patch(path, json={"item_name": "B"}, headers=SEEN), 404)
    problem(hers.get("/api/users"), 403, "forbidden")
    problem(hers.get(f"/api/users/{stranger.user_id}"), 404)
    assert admins.get("/api/users").status_code == 200
    problem(hers.move(delivery, "picked_up"), 403, "forbidden")


def test_another_role_acts_at_once(people):
    admin, person = people.admin(), people.dispatcher()
    key, delivery = key_of(person), people.customer().create()
    assert key.get(f"/api/deliveries/{delivery['id']}").status_code == 200
    admin.patch(f"/api/users/{person.user_id}", json={"role": "customer"}, headers=SEEN)
    problem(key.get(f"/api/deliveries/{delivery['id']}"), 404)


def test_a_key_without_the_scope_is_told_which_one_it_needs(people):
    key = key_of(people.admin(), "deliveries:read", "users:write")
    needed = {
        ("GET", "/api/users"): "users:read",
        ("GET", "/api/audit"): "audit:read",
        ("POST", "/api/deliveries"): "deliveries:write",
        ("POST", f"/api/deliveries/{NOBODYS}/transitions"): "deliveries:move",
    }
    for (method, path), scope in needed.items():
        response = key.request(method, path, data=b"{")
        problem(response, 403, "insufficient_scope")
        assert response.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'


def test_what_only_a_person_does_no_key_does(people):
    owner = people.admin()
    key, other = key_of(owner), made(owner)
    for method, path in (
        ("GET", KEYS), ("POST", KEYS), ("GET", f"{KEYS}/{other['id']}"), ("DELETE", f"{KEYS}/{other['id']}"),
        ("POST", f"{KEYS}/{other['id']}/roll"), ("POST", "/api/auth/logout"),
        ("GET", f"/api/users/{owner.user_id}/api-keys"), ("DELETE", f"/api/users/{owner.user_id}/api-keys"),
    ):  # fmt: skip
        response = key.request(method, path, json={"name": "B", "scopes": ["users:read"]})
        problem(response, 403, "insufficient_scope")
        assert "WWW-Authenticate" not in response.headers, "no scope would help"
    assert len(owner.get(KEYS).json["items"]) == 2


@pytest.mark.parametrize("role", ["courier", "dispatcher", "admin"])
def test_no_key_gives_a_role(people, role):
    """A key of an admin that leaks would else make an admin without limits."""
    admin, person = people.admin(), people.customer()
    key, path = key_of(admin), f"/api/users/{person.user_id}"
    new = {"name": "Eve", "email": "eve@shop.example", "password": PASSWORD}
    for response in (
        key.post("/api/users", json={**new, "role": role}),
        key.post("/api/invitations", json={"email": "eve@shop.example", "role": role}),
        key.patch(path, json={"role": role}, headers=SEEN),
        key.patch(path, json={"name": "Eve", "role": "customer"}, headers=SEEN),
        key.patch(f"/api/users/{admin.user_id}", json={"role": role}, headers=SEEN),
    ):
        assert problem(response, 403, "insufficient_scope")["detail"] == "No API key may give a role; sign in."
    problem(key_of(person).post("/api/users", json={**new, "role": role}), 403, "insufficient_scope")
    assert person.get(path).json["version"] == 1
    assert admin.get("/api/users?q=eve@shop.example").json["items"] == []
    assert admin.get("/api/invitations").json["items"] == []


def test_a_key_of_an_admin_makes_and_changes_customers(people):
    admin, person = people.admin(), people.customer()
    key = key_of(admin, "users:write")
    new = {"name": "Eve", "email": "eve@shop.example", "password": PASSWORD}
    assert key.post("/api/users", json=new).json["role"] == "customer"
    assert key.post("/api/invitations", json={"email": "kim@x.example", "role": "customer"}).status_code == 201
    changed = key.patch(f"/api/users/{person.user_id}", json={"name": "Bo", "active": False}, headers=SEEN)
    assert changed.status_code == 200


def test_history_and_audit_log_name_the_key(app, people):
    owner = people.dispatcher()
    key = key_of(owner)
    delivery = key.create()
    key.move(delivery, "on_hold")
    assert [(event["actor_type"], event["actor_id"]) for event in owner.history(delivery)] == [
        ("api_key", owner.user_id)
    ] * 2


def test_the_log_says_which_key_asked_and_never_the_key(api, caplog):
    key = made(api)
    using(api, key["secret"]).get("/api/auth/me")
    api.get("/api/auth/me")
    by_key, by_session = [record for record in caplog.records if record.message == "request"][-2:]
    assert (by_key.user_id, by_key.key_id) == (api.user_id, key["id"])
    assert by_session.key_id is None
    assert key["secret"] not in caplog.text


class TestLastUse:
    """Noted when the answer is out, once in five minutes."""

    def test_the_first_use_is_noted_and_shown(self, api):
        key = made(api)
        using(api, key["secret"]).get("/api/auth/me").close()
        shown = api.get(f"{KEYS}/{key['id']}").json
        used = datetime.fromisoformat(shown["last_used_at"])
        assert abs(used - datetime.now(UTC)) < timedelta(seconds=30)
        assert shown["version"] == 1

    def test_a_use_is_noted_once_in_five_minutes(self, app, api, travel, count_statements):
        key = key_of(api)

        def notes():
            with count_statements() as statements:
                key.get("/api/auth/me").close()
            return sum(statement.startswith("UPDATE") for statement in statements)

        assert [notes() for _ in range(3)] == [1, 0, 0]
        travel(minutes=4, seconds=50)
        assert notes() == 0
        travel(seconds=20)
        assert [notes() for _ in range(2)] == [1, 0]

    def test_of_two_requests_at_once_one_notes_it(self, api, travel):
        key = made(api)
        first, second = (using(api, key["secret"]).get("/api/auth/me") for _ in "12")
        first.close()
        noted = api.get(f"{KEYS}/{key['id']}").json
        travel(seconds=10)
        second.close()
        assert api.get(f"{KEYS}/{key['id']}").json == noted

    def test_a_refused_request_used_the_key_too(self, api):
        key = made(api, scopes=["audit:read"])
        response = using(api, key["secret"]).get("/api/users")
        problem(response, 403)
        response.close()
        assert api.get(f"{KEYS}/{key['id']}").json["last_used_at"]

    def test_a_busy_or_lost_database_fails_no_request(self, app, api, monkeypatch, caplog):
        def refuse():
            raise OperationalError("UPDATE", None, Exception("database is locked"))

        key = key_of(api)
        monkeypatch.setattr(key_checks, "transaction", refuse)
        response = key.get("/api/auth/me")
        assert response.status_code == 200
        response.close()
        assert "the use of an API key was not noted" in caplog.text

    def test_a_reader_does_not_wait_for_a_writer(self, app, api):
        """The answer is there although somebody holds the lock; on SQLite that is the lock of the whole database."""
        key = key_of(api)
        with app.app_context(), transaction() as session:
            session.execute(update(ApiKey).values(name="held"))
            response = key.get("/api/auth/me")
            assert response.status_code == 200
        response.close()
        assert api.get(KEYS).json["items"][0]["last_used_at"]


def test_a_key_outlives_its_owners_sessions(app, api):
    key = key_of(api)
    api.post("/api/auth/logout")
    with app.app_context(), transaction() as session:
        session.execute(update(User).values(epoch=5))
    assert works(key)
    assert key.post("/api/deliveries", json=delivery_in()).status_code == 201
