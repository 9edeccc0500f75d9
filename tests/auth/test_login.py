"""Signing in: by form as RFC 6749 has it, or by JSON; and one answer for everybody who may not."""

import os
from concurrent.futures import Future
from threading import Event

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from delivery import limits
from delivery.auth import services
from delivery.auth.models import AuthSession
from delivery.database import db, now, transaction
from delivery.errors import Unavailable
from delivery.limits import Streak
from delivery.tokens import keyed_hash
from delivery.users import passwords
from delivery.users.models import User
from tests.auth.links import PASSWORD as REGISTERED
from tests.auth.links import register
from tests.auth.signing_in import login
from tests.factories import PASSWORD
from tests.web.answers import problem, wrong
from tests.web.racing import race

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def ada(people):
    return people.customer(email="ada@shop.example")


def test_a_form_signs_in(client, ada):
    form = {
        "grant_type": "password",
        "username": "ada@shop.example",
        "password": PASSWORD,
        "scope": "",
        "client_id": "x",
    }
    response = client.post("/api/auth/login", data=form)

    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    granted = response.json
    assert granted.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 1800)
    bearer = {"Authorization": f"Bearer {granted['access_token']}"}
    assert client.get("/api/auth/me", headers=bearer).json["email"] == "ada@shop.example"


def test_json_signs_in(client, ada):
    for name in ("email", "username"):
        response = client.post("/api/auth/login", json={name: "ada@shop.example", "password": PASSWORD})
        assert response.status_code == 200, response.text


def test_an_address_is_read_without_its_case(client, ada):
    for written in ("ADA@shop.example", "  ada@Shop.Example ", "Ada@SHOP.example\n"):
        assert login(client, written).status_code == 200


def test_an_address_is_the_same_however_its_host_is_written(client, people):
    people.customer(email="kim@b\u00fccher.example")
    for host in ("B\u00dcCHER.example", "xn--bcher-kva.example", "bu\u0308cher.example", "b\u00fccher.\uff45xample"):
        assert login(client, f"kim@{host}").status_code == 200, ascii(host)
    for nobodys in ("kim@" + "x" * 64, "kim@xn--\u00fc.example", "kim@..", "kim@"):
        problem(login(client, nobodys), 401, "invalid_credentials")


def test_registering_in_development_signs_in_at_once(client):
    register(client, "bob@shop.example")
    assert login(client, "bob@shop.example", REGISTERED).status_code == 200


def test_everybody_who_may_not_gets_the_same_answer(make_app, people, ada):
    """Unknown, wrong, inactive, erased and unverified: nobody learns which addresses exist."""
    client = make_app(REQUIRE_VERIFIED_EMAIL="true").test_client()
    admin, asleep, erased = (
        people.admin(),
        people.customer(email="asleep@x.example"),
        people.customer(email="gone@x.example"),
    )
    admin.patch(f"/api/users/{asleep.user_id}", json={"active": False}, headers={"If-Match": "*"})
    admin.delete(f"/api/users/{erased.user_id}", headers={"If-Match": "*"})
    register(client, "unverified@x.example")
    answers = [
        login(client, "nobody@x.example"),
        login(client, "ada@shop.example", "not the password"),
        login(client, "ada@shop.example", PASSWORD.upper()),
        login(client, "ada@shop.example", PASSWORD + " "),
        login(client, "asleep@x.example"),
        login(client, "gone@x.example"),
        login(client, "unverified@x.example", REGISTERED),
        login(client, "None", ""),
        login(client, "%", PASSWORD),
        login(client, "' OR 1=1 --", PASSWORD),
        login(client, "a" * 254, "x" * 128),
    ]
    bodies = [{**problem(answer, 401, "invalid_credentials"), "request_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}


def test_an_unknown_address_costs_a_hash_too(client, ada, monkeypatch):
    """Otherwise the time of the answer would tell what the answer does not."""
    verified = []
    real = PasswordHasher.verify
    monkeypatch.setattr(PasswordHasher, "verify", lambda self, *given: verified.append(given) or real(self, *given))
    for email in ("nobody@x.example", "ada@shop.example"):
        login(client, email, "wrong")
    assert len(verified) == 2
    assert verified[0][0].split("$")[:4] == verified[1][0].split("$")[:4], "at the same cost"


def test_what_is_missing_is_named(client):
    assert wrong(client.post("/api/auth/login", json={})) == {"/username": "required", "/password": "required"}
    assert wrong(client.post("/api/auth/login", json={"password": "x"})) == {"/username": "required"}
    assert wrong(client.post("/api/auth/login", data={"username": "x"})) == {"/password": "required"}
    hostile = {"username": 1, "password": None, "grant_type": "refresh_token", "role": "admin"}
    assert wrong(client.post("/api/auth/login", json=hostile)) == {
        "/username": "invalid", "/password": "null", "/grant_type": "invalid", "/role": "unknown",
    }  # fmt: skip
    too_long = {"email": "a" * 255, "password": "x" * 129}
    assert wrong(client.post("/api/auth/login", json=too_long)) == {"/email": "invalid", "/password": "invalid"}


def test_a_hash_of_an_older_cost_is_renewed_by_signing_in(make_app, client, ada, app):
    def kept():
        with app.app_context():
            return db.session.execute(select(User.password_hash)).scalar_one()

    before = kept()
    assert login(client, "ada@shop.example").status_code == 200
    assert kept() == before, "as it should be already"
    dearer = make_app(ARGON2_TIME_COST="2").test_client()
    assert login(dearer, "ada@shop.example", "wrong").status_code == 401
    assert kept() == before, "a wrong password renews nothing"

    assert login(dearer, "ada@shop.example").status_code == 200
    assert "t=2" in kept()
    assert login(client, "ada@shop.example").status_code == 200


def test_a_new_password_is_not_undone_by_an_older_ones_renewal(app, ada):
    with app.app_context():
        seen = services.account_of("ada@shop.example")
        with transaction() as session:
            session.execute(update(User).values(password_hash="changed meanwhile"))
        with transaction():
            services.keep_new_hash(seen, "renewed")
        assert db.session.execute(select(User.password_hash)).scalar_one() == "changed meanwhile"


def test_each_signing_in_is_a_session_of_its_own(app, client, ada):
    first, second = (login(client, "ada@shop.example").json["access_token"] for _ in "12")
    assert first != second
    assert client.post("/api/auth/logout", headers={"Authorization": f"Bearer {first}"}).status_code == 204
    assert client.get("/api/auth/me", headers={"Authorization": f"Bearer {second}"}).status_code == 200
    with app.app_context():
        assert db.session.execute(select(func.count()).select_from(AuthSession)).scalar_one() == 3


def test_an_old_token_does_not_stand_in_the_way_of_a_new_one(client, ada, travel):
    """A program sends the header that it has; signing in is how it gets a better one."""
    for header in ("Bearer expired.or.forged", "Basic abc", "garbage", ada.headers["Authorization"]):
        response = login(client, "ada@shop.example", headers={"Authorization": header})
        assert response.status_code == 200, header


def acts(admin):
    """What the audit log tells about signing in, the oldest first: (act, whose, details)."""
    entries = admin.get("/api/audit?act=session.*&limit=100").json["items"]
    return [(one["act"], one["object_id"], one["details"]) for one in reversed(entries)]


def test_who_came_in_and_who_did_not_is_noted(make_app, people, ada):
    client = make_app(REQUIRE_VERIFIED_EMAIL="true").test_client()
    admin, asleep = people.admin(), people.customer(email="asleep@x.example")
    admin.patch(f"/api/users/{asleep.user_id}", json={"active": False}, headers={"If-Match": "*"})
    register(client, "unverified@x.example")
    for email, password in (
        ("nobody@x.example", PASSWORD), ("ada@shop.example", "wrong"), ("asleep@x.example", PASSWORD),
        ("unverified@x.example", REGISTERED), ("ada@shop.example", PASSWORD),
    ):  # fmt: skip
        login(client, email, password)

    *refused, opened = acts(admin)
    assert [act for act, _, _ in refused] == 4 * ["session.refused"]
    reasons = [details["reason"] for _, _, details in refused]
    assert reasons == ["unknown", "wrong_password", "inactive", "unverified"]
    assert [whose for _, whose, _ in refused[:3]] == [None, ada.user_id, asleep.user_id]
    assert opened[:2] == ("session.opened", ada.user_id)
    assert opened[2].keys() == {"session_id"}


def test_an_unknown_address_is_written_about_like_a_known_one(client, ada, count_statements):
    """Neither the number of statements nor what they are tells which addresses exist."""
    asked = []
    for email in ("ada@shop.example", "nobody@x.example"):
        with count_statements() as statements:
            problem(login(client, email, "wrong"), 401)
        asked.append(statements)
    assert asked[0] == asked[1]


def statuses(client, email, *passwords_):
    return [login(client, email, password).status_code for password in passwords_]


def test_five_failures_close_the_door_for_a_quarter_of_an_hour(client, ada, travel, monkeypatch):
    answers = {}
    for email in ("ada@shop.example", "nobody@x.example"):
        assert statuses(client, email, *5 * ["wrong"]) == 5 * [401]
        answers[email] = login(client, email)
    known, unknown = answers.values()
    bodies = [{**problem(answer, 429, "too_many_requests"), "request_id": ""} for answer in (known, unknown)]
    assert bodies[0] == bodies[1]
    assert set(known.headers.keys()) == set(unknown.headers.keys())
    assert 890 < int(known.headers["Retry-After"]) <= 900
    monkeypatch.setattr(PasswordHasher, "verify", lambda *_: pytest.fail("hashed for nothing"))
    assert login(client, "ADA@shop.example ").status_code == 429
    monkeypatch.undo()
    travel(minutes=15)
    assert login(client, "ada@shop.example").status_code == 200


def test_signing_in_forgives_the_failures_before_it(client, ada):
    for _ in range(3):
        assert statuses(client, "ada@shop.example", *4 * ["wrong"], PASSWORD) == [401, 401, 401, 401, 200]


def test_a_burst_of_right_passwords_is_limited_while_it_runs_and_forgotten_after_it(app, ada):
    """Five of an account may be on their way at once: a sixth could be a guess among them."""
    answers = race(*[lambda: login(app.test_client(), "ada@shop.example").status_code for _ in range(8)])
    assert set(answers) <= {200, 429}
    assert answers.count(200) >= 5
    assert statuses(app.test_client(), "ada@shop.example", *12 * [PASSWORD]) == 12 * [200]


def test_a_hundred_failures_in_a_row_bar_even_the_right_password(app, client, people, ada, monkeypatch):
    admin = people.admin()
    with app.app_context(), transaction() as session:
        key = keyed_hash("limits.subject", "ada@shop.example")
        session.add(Streak(subject=key, count=99, last_at=now()))
    problem(login(client, "ada@shop.example", "wrong"), 401, "invalid_credentials")
    verified = []
    real = PasswordHasher.verify
    monkeypatch.setattr(PasswordHasher, "verify", lambda self, *given: verified.append(1) or real(self, *given))

    barred, unknown = login(client, "ada@shop.example"), login(client, "nobody@x.example")
    bodies = [{**problem(answer, 401, "invalid_credentials"), "request_id": ""} for answer in (barred, unknown)]
    assert bodies[0] == bodies[1]
    assert len(verified) == 2, "it costs a hash all the same"
    assert ("session.refused", ada.user_id, {"reason": "barred"}) in acts(admin)
    with app.app_context(), transaction():
        limits.forgive_all("ada@shop.example")
    assert login(client, "ada@shop.example").status_code == 200


def test_too_many_hashes_at_once_are_a_503(client, ada, monkeypatch):
    done = Event()
    passwords._thread(os.getpid()).submit(done.wait)
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0.01)
    response = login(client, "ada@shop.example")
    done.set()
    problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "2"


def test_what_we_were_too_busy_to_try_locks_nobody_out(app, client, ada, monkeypatch):
    def busy(*_):
        raise Unavailable("Too many sign-ins at once; try again.", retry_after_seconds=2)

    with monkeypatch.context() as patched:
        patched.setattr(passwords, "_in_turn", busy)
        for _ in range(9):
            problem(login(client, "ada@shop.example"), 503, "unavailable")
            problem(ada.post("/api/auth/change-email", json={"email": "a@b.example", "password": PASSWORD}), 503)
    with app.app_context():
        assert db.session.scalar(select(limits.Streak.count)) == 0
        assert db.session.scalar(select(func.count()).select_from(limits.Attempt)) == 0
    for _ in range(4):
        problem(login(client, "ada@shop.example", "wrong password"), 401)
    assert login(client, "ada@shop.example").status_code == 200


def test_a_hash_whose_turn_came_is_waited_for(client, ada, monkeypatch):
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0)
    monkeypatch.setattr(Future, "cancel", lambda _: False)
    assert login(client, "ada@shop.example").status_code == 200
