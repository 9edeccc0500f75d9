"""Twins under one key: one effect and one answer, whoever comes in between and wherever the others were by then."""

from contextlib import contextmanager
from threading import Event
from uuid import UUID

import pytest
from sqlalchemy import func, select

from delivery.audit.models import AuditEntry
from delivery.database import db
from delivery.deliveries.models import Delivery
from delivery.idempotency import forget, keyed
from delivery.limits import Attempt
from delivery.notifications.models import OutboxMessage
from tests.conftest import rows
from tests.factories import PASSWORD, delivery_in
from tests.web.answers import problem
from tests.web.racing import PATIENCE_SECONDS, race

KEYS, THREADS = 30, 10


def on_sqlite(app):
    with app.app_context():
        return db.engine.dialect.name == "sqlite"


@pytest.mark.parametrize("referenced", [False, True], ids=["all could be made", "one could be made"])
def test_one_key_is_one_effect_however_many_ask_at_once(app, api, referenced):
    for number in range(KEYS):
        body = delivery_in(**({"reference": f"order-{number}"} if referenced else {}))
        headers = {"Idempotency-Key": f"key-{number}"}
        responses = race(
            *[lambda body=body, headers=headers: api.post("/api/deliveries", json=body, headers=headers)] * THREADS
        )

        assert {response.status_code for response in responses} == {201}
        assert len({response.data for response in responses}) == 1
        replayed = [response.headers.get("Idempotent-Replayed") for response in responses]
        assert replayed.count("true") == THREADS - 1
    assert rows(app, Delivery) == KEYS
    assert rows(app, OutboxMessage) == 2 * KEYS


def test_one_edit_is_made_once_however_many_ask_at_once(api):
    path = f"/api/deliveries/{api.create()['id']}"
    for version in range(1, 6):
        headers = {"Idempotency-Key": f"key-{version}", "If-Match": f'"{version}"'}
        change = {"item_name": f"Kettle {version}"}
        responses = race(*[lambda: api.patch(path, json=change, headers=headers)] * THREADS)  # noqa: B023  # done here

        assert {response.status_code for response in responses} == {200}
        assert len({response.data for response in responses}) == 1
        assert api.get(path).json["version"] == version + 1


@pytest.fixture
def between(monkeypatch):
    """Have a call made once, when the next request has found nothing under its key, and before its transaction."""

    def make(call):
        real, calls = keyed.transaction, [call]

        @contextmanager
        def transaction():
            if calls:
                made.append(calls.pop()())
            with real() as session:
                yield session

        made = []
        monkeypatch.setattr(keyed, "transaction", transaction)
        return made

    return make


def test_a_twin_that_was_quicker_has_the_only_effect(app, api, between):
    headers = {"Idempotency-Key": "k"}

    def post():
        return api.post("/api/deliveries", json=delivery_in(), headers=headers)

    made = between(post)
    second = post()

    [first] = made
    assert "Idempotent-Replayed" not in first.headers
    assert (second.status_code, second.data, second.headers["Idempotent-Replayed"]) == (201, first.data, "true")
    assert second.headers["ETag"] == first.headers["ETag"]
    assert rows(app, Delivery) == 1
    assert rows(app, OutboxMessage) == 2


@pytest.mark.parametrize("refused", ["by its reference", "by its version", "by its state"])
def test_what_a_twin_made_impossible_is_answered_as_the_twin_was(api, between, refused):
    path = f"/api/deliveries/{api.create()['id']}"
    headers = {"Idempotency-Key": "k"}
    calls = {
        "by its reference": lambda: api.post("/api/deliveries", json=delivery_in(reference="r"), headers=headers),
        "by its version": lambda: api.patch(path, json={"item_name": "B"}, headers=headers | {"If-Match": '"1"'}),
        "by its state": lambda: api.post(f"{path}/transitions", json={"to": "cancelled"}, headers=headers),
    }
    made = between(calls[refused])
    second = calls[refused]()

    [first] = made
    assert first.status_code in {200, 201}, first.text
    assert (second.status_code, second.data) == (first.status_code, first.data)
    assert second.headers["Idempotent-Replayed"] == "true"


def test_a_twin_that_waits_for_what_the_first_has_locked_is_a_409(app, api, monkeypatch):
    """It never comes to write its key; on SQLite it waits for the one writer before it begins."""
    if on_sqlite(app):
        return
    path, headers = f"/api/deliveries/{api.create()['id']}/transitions", {"Idempotency-Key": "k"}
    keep, moved, ended = keyed._keep, Event(), Event()

    def late(*args, **options):
        moved.set()
        assert ended.wait(PATIENCE_SECONDS)
        keep(*args, **options)

    def second():
        assert moved.wait(PATIENCE_SECONDS)
        monkeypatch.setattr(keyed, "_keep", keep)
        response = api.post(path, json={"to": "cancelled"}, headers=headers)
        ended.set()
        return response

    monkeypatch.setattr(keyed, "_keep", late)
    first, waited = race(lambda: api.post(path, json={"to": "cancelled"}, headers=headers), second)
    problem(waited, 409, "key_in_use")
    assert waited.headers["Retry-After"] == "1"
    assert first.status_code == 200
    again = api.post(path, json={"to": "cancelled"}, headers=headers)
    assert (again.status_code, again.data) == (200, first.data)


def test_another_request_that_was_quicker_keeps_the_key(app, api, between):
    headers = {"Idempotency-Key": "k"}
    made = between(lambda: api.post("/api/deliveries", json=delivery_in(item_name="Other"), headers=headers))
    problem(api.post("/api/deliveries", json=delivery_in(), headers=headers), 422, "key_reused")

    assert [one.status_code for one in made] == [201]
    assert rows(app, Delivery) == 1


def test_what_somebody_else_made_impossible_is_refused(api, between):
    body = delivery_in(reference="r")
    made = between(lambda: api.post("/api/deliveries", json=body, headers={"Idempotency-Key": "other"}))
    headers = {"Idempotency-Key": "k"}
    problem(api.post("/api/deliveries", json=body, headers=headers), 409, "duplicate_reference")

    assert [one.status_code for one in made] == [201]
    assert api.post("/api/deliveries", json=delivery_in(), headers=headers).status_code == 201


def test_an_answer_that_runs_out_meanwhile_leaves_its_key_to_the_next(app, api, monkeypatch):
    headers = {"Idempotency-Key": "k"}
    first = api.post("/api/deliveries", json=delivery_in(), headers=headers)
    read = keyed._replay

    def purged(key):
        with app.app_context(), keyed.transaction():
            forget(UUID(api.user_id))
        return read(key)

    monkeypatch.setattr(keyed, "_replay", purged)
    second = api.post("/api/deliveries", json=delivery_in(), headers=headers)
    assert second.status_code == 201
    assert second.json["id"] != first.json["id"]


def test_a_lost_race_leaves_no_trace_in_the_audit_log(app, people, between):
    admin = people.admin()
    body = {"name": "Ada", "email": "ada@shop.example", "password": "correct horse battery"}
    headers = {"Idempotency-Key": "k"}
    before = rows(app, AuditEntry)
    made = between(lambda: admin.post("/api/users", json=body, headers=headers))
    second = admin.post("/api/users", json=body, headers=headers)

    [first] = made
    assert (second.status_code, second.data) == (201, first.data)
    assert rows(app, AuditEntry) == before + 1


def test_a_right_password_is_no_failed_login_of_the_second_of_twins(app, api, between):
    body = {"email": "ada@new.example", "password": PASSWORD}

    def ask():
        return api.post("/api/auth/change-email", json=body, headers={"Idempotency-Key": "k"})

    made = between(ask)
    second = ask()
    assert [made[0].status_code, second.status_code] == [202, 202]
    with app.app_context():
        logins = select(func.count()).where(Attempt.action == "login")
        assert db.session.execute(logins).scalar_one() == 0
