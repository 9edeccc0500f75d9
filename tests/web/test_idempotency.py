"""Idempotency-Key: one effect, the same bytes again, and no surprise for whoever mixes keys up."""

import hashlib
import json
from uuid import UUID

from sqlalchemy import func, insert, select

from delivery import clock
from delivery.database import db
from delivery.deliveries.models import Delivery
from delivery.idempotency import IdempotencyKey
from delivery.limits import Attempt, Streak
from delivery.notifications.models import OutboxMessage
from tests.conftest import rows
from tests.factories import PASSWORD, delivery_in
from tests.web.answers import problem
from tests.webhooks.making import endpoint


def keyed(key, **more):
    return {"Idempotency-Key": key, **more}


def test_the_same_request_again_gets_the_same_bytes_and_has_no_effect(app, api):
    first = api.post("/api/deliveries", json=delivery_in(), headers=keyed("k"))
    again = [api.post("/api/deliveries", json=delivery_in(), headers=keyed(key)) for key in ("k", '"k"', "k")]

    assert first.status_code == 201
    assert "Idempotent-Replayed" not in first.headers
    for replayed in again:
        assert (replayed.status_code, replayed.data) == (201, first.data)
        assert replayed.headers["Idempotent-Replayed"] == "true"
        for name in ("Content-Type", "Location", "ETag", "Vary", "Cache-Control"):
            assert replayed.headers[name] == first.headers[name]
    assert rows(app, Delivery) == rows(app, IdempotencyKey) == 1
    assert rows(app, OutboxMessage) == 2


def test_every_changing_endpoint_replays(people):
    """Users, deliveries, moves and edits; a replay comes before the version and the state are looked at."""
    admin = people.admin()
    one = f"/api/deliveries/{admin.create()['id']}"
    user = {"name": "Ada", "email": "ada@shop.example", "password": "correct horse battery"}
    calls = [
        ("POST", "/api/users", user, {}),
        ("PATCH", f"/api/users/{admin.user_id}", {"name": "B"}, {"If-Match": '"1"'}),
        ("PATCH", one, {"item_name": "B"}, {"If-Match": '"1"'}),
        ("POST", f"{one}/transitions", {"to": "on_hold"}, {"If-Match": '"2"'}),
    ]
    for number, (method, path, body, headers) in enumerate(calls):
        first, second = (admin.request(method, path, json=body, headers=keyed(f"k{number}", **headers)) for _ in "12")
        assert first.status_code in {200, 201}, first.text
        assert second.data == first.data
        assert second.headers["Idempotent-Replayed"] == "true"
    assert admin.get(one).json["version"] == 3


def test_a_key_that_was_used_for_something_else_is_a_422(people):
    admin = people.admin()
    one = f"/api/deliveries/{admin.create()['id']}"
    assert admin.post("/api/deliveries", json=delivery_in(), headers=keyed("k")).status_code == 201
    others = [
        ("POST", "/api/deliveries", {"json": delivery_in(item_name="Other")}),
        ("POST", f"{one}/transitions", {"json": {"to": "on_hold"}}),
        ("PATCH", one, {"json": {"item_name": "B"}, "if_match": '"1"'}),
    ]
    for method, path, options in others:
        if_match = options.pop("if_match", None)
        headers = keyed("k") | ({"If-Match": if_match} if if_match else {})
        problem(admin.request(method, path, headers=headers, **options), 422, "key_reused")
    assert admin.get(one).json["version"] == 1


def test_everybody_has_their_own_keys(people):
    def ask(who):
        return who.post("/api/deliveries", json=delivery_in(), headers=keyed("k"))

    ada, bob = people.customer(), people.customer()
    first, second = ask(ada), ask(bob)
    assert first.json["id"] != second.json["id"]
    assert "Idempotent-Replayed" not in second.headers
    assert (ask(ada).data, ask(bob).data) == (first.data, second.data)


def test_a_replay_is_only_for_those_who_may_still_ask(app, api):
    headers = keyed("k")
    assert api.post("/api/deliveries", json=delivery_in(), headers=headers).status_code == 201
    assert api.post("/api/auth/logout").status_code == 204
    problem(api.post("/api/deliveries", json=delivery_in(), headers=headers), 401)


def test_only_success_is_kept(app, api):
    """A request that was refused may be repaired and sent again under its key."""
    taken = api.create(reference="taken")
    path = f"/api/deliveries/{taken['id']}"
    calls = [
        ("POST", "/api/deliveries", delivery_in(item_name=""), {}, 422),
        ("POST", "/api/deliveries", delivery_in(reference="taken"), {}, 409),
        ("POST", f"{path}/transitions", {"to": "delivered"}, {}, 409),
        ("POST", f"{path}/transitions", {"to": "on_hold"}, {}, 403),
        ("PATCH", path, {"item_name": "B"}, {}, 428),
        ("PATCH", path, {"item_name": "B"}, {"If-Match": '"9"'}, 412),
        ("POST", "/api/deliveries/0190a0a0-0000-7000-8000-000000000000/transitions", {"to": "pending"}, {}, 404),
    ]
    for method, where, body, headers, status in calls:
        problem(api.request(method, where, json=body, headers=keyed("k", **headers)), status)
    assert rows(app, IdempotencyKey) == 0
    assert api.post("/api/deliveries", json=delivery_in(), headers=keyed("k")).status_code == 201


def test_a_key_of_a_bad_form_is_a_400(app, api):
    emoji = "\U0001f40e".encode().decode("latin-1")
    for key in ("", '""', "a" * 256, "a b", "a,b", "é", emoji, "'k'", '"k', 'k"', "a/b", "\t"):
        problem(api.post("/api/deliveries", json=delivery_in(), headers=keyed(key)), 400, "malformed")
    assert rows(app, Delivery) == 0


def test_two_keys_are_a_400(app, api):
    both = [*api.headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = app.test_client().post("/api/deliveries", json=delivery_in(), headers=both)
    problem(response, 400, "malformed")


def test_the_longest_key_is_taken(api):
    for key in ("a" * 255, "A-Z_0.9:x"):
        assert api.post("/api/deliveries", json=delivery_in(), headers=keyed(key)).status_code == 201


def test_nobodys_key_is_nobodys(app, client):
    """Without a caller there is nobody whose key it could be: a stranger's would replay to strangers."""
    for name in ("ada", "bob"):
        body = {"name": name, "email": f"{name}@shop.example", "password": "correct horse battery"}
        response = client.post("/api/users", json=body, headers=keyed("k"))
        assert response.status_code == 202
        assert "Idempotent-Replayed" not in response.headers
    assert rows(app, IdempotencyKey) == 0


def test_a_public_endpoint_keeps_no_keys_even_of_a_known_caller(app, api):
    for _ in range(2):
        response = api.post("/api/auth/request-verification", json={"email": "a@b.example"}, headers=keyed("k"))
        assert "Idempotent-Replayed" not in response.headers
    assert rows(app, IdempotencyKey) == 0


def test_a_password_is_not_to_be_guessed_from_its_fingerprint(app, people):
    """Two callers who send the same body have the same fingerprint only under the server's secret."""
    body = b'{"name":"Ada","email":"ada@shop.example","password":"correct horse battery"}'
    response = people.admin().post("/api/users", data=body, content_type="application/json", headers=keyed("k"))
    assert response.status_code == 201
    with app.app_context():
        kept = db.session.execute(select(IdempotencyKey.fingerprint, IdempotencyKey.body)).one()
    plain = b"POST\n/api/users\n\napplication/json\n" + body
    assert kept.fingerprint != hashlib.sha256(plain).digest()
    assert b"correct horse" not in kept.body


def test_a_twin_that_is_still_running_is_a_409_with_retry_after(app, api):
    """PostgreSQL waits two seconds for the twin; SQLite's single writer has none at the same time."""
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            return
        row = {"caller_id": UUID(api.user_id), "key": "k", "fingerprint": b"", "created_at": clock.now()}
        with db.engine.connect() as twin:
            twin.execute(insert(IdempotencyKey).values(row))
            response = api.post("/api/deliveries", json=delivery_in(), headers=keyed("k"))
    problem(response, 409, "key_in_use")
    assert response.headers["Retry-After"] == "1"
    assert api.post("/api/deliveries", json=delivery_in(), headers=keyed("k")).status_code == 201


def test_the_same_request_means_the_same_bytes_whatever_its_if_match(api):
    body = json.dumps(delivery_in()).encode()
    first = api.post("/api/deliveries", data=body, content_type="application/json", headers=keyed("k"))
    assert first.status_code == 201
    spaced = api.post("/api/deliveries", data=b" " + body, content_type="application/json", headers=keyed("k"))
    problem(spaced, 422, "key_reused")
    path, change = f"/api/deliveries/{first.json['id']}", {"item_name": "Kettle"}
    edited = api.patch(path, json=change, headers=keyed("e", **{"If-Match": '"1"'}))
    again = api.patch(path, json=change, headers=keyed("e", **{"If-Match": '"2"'}))
    assert (again.status_code, again.data) == (200, edited.data)


def test_a_bulk_of_which_all_is_refused_is_kept(api):
    bulk = {"items": [{"item_name": "Kettle"}]}
    first, again = (api.post("/api/deliveries/bulk", json=bulk, headers=keyed("k")) for _ in "12")
    assert (first.status_code, first.json["refused"]) == (200, 1)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_key_costs_one_statement_and_a_repeat_two(api, count_statements):
    """Whether there is an answer is read with who asks; the answer is read and written by a statement each."""
    statements = {}
    for name, headers in (("bare", {}), ("keyed", keyed("k")), ("again", keyed("k"))):
        with count_statements() as seen:
            assert api.post("/api/deliveries", json=delivery_in(), headers=headers).status_code == 201
        statements[name] = [one for one in seen if not one.startswith("BEGIN")]
    assert len(statements["keyed"]) == len(statements["bare"]) + 1
    assert len(statements["again"]) == 2


def attempts(app):
    """How often each action was counted."""
    with app.app_context():
        counted = select(Attempt.action, func.count()).group_by(Attempt.action)
        return {action: count for action, count in db.session.execute(counted).all() if action != "login"}


def test_a_repeat_is_answered_before_anything_is_counted(app, people):
    """However often: else the limits would refuse what was done."""
    ada = people.customer()
    hook = endpoint(app, ada.user_id, status="active")
    calls = {
        "/api/auth/change-email": ({"email": "ada@new.example", "password": PASSWORD}, {"resend": 1}),
        f"/api/webhook-endpoints/{hook}/test": (None, {"webhook_call": 1}),
        "/api/users": ({"name": "Eve", "email": "eve@shop.example", "password": PASSWORD}, {"register": 1}),
    }
    before = {}
    for number, (path, (body, counted)) in enumerate(calls.items()):
        first, *again = (ada.post(path, json=body, headers=keyed(f"k{number}")) for _ in range(30))
        assert first.status_code == 202, first.text
        assert {(one.status_code, one.data) for one in again} == {(202, first.data)}
        before |= counted
        assert attempts(app) == before
    with app.app_context():
        streak = select(func.coalesce(func.sum(Streak.count), 0))
        assert db.session.execute(streak).scalar_one() == 0


def test_a_key_that_is_none_is_refused_before_anything_is_counted(app, api):
    body = {"email": "ada@new.example", "password": PASSWORD}
    for _ in range(5):
        problem(api.post("/api/auth/change-email", json=body, headers=keyed("a b")), 400, "malformed")
    assert attempts(app) == {}
