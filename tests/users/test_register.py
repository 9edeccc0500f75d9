"""POST /api/users: anybody may ask for an account and learns nothing; an admin makes one and sees it."""

import pytest
from sqlalchemy import select

from delivery.database import db
from delivery.notifications.models import OutboxMessage
from delivery.users.models import User
from tests.auth.links import PASSWORD, register
from tests.auth.signing_in import login
from tests.factories import PASSWORD as OTHER_PASSWORD
from tests.web.answers import problem, wrong

ADA = {"name": "Ada", "email": "ada@shop.example", "password": PASSWORD}


def users(app):
    with app.app_context():
        return db.session.execute(select(User).order_by(User.id)).scalars().all()


def told(app):
    with app.app_context():
        query = select(OutboxMessage.template, OutboxMessage.recipient_id).order_by(OutboxMessage.id)
        return [tuple(row) for row in db.session.execute(query)]


def test_a_registration_makes_a_customer_with_its_defaults(app, client):
    register(client, "ada@shop.example")
    [ada] = users(app)
    assert (ada.name, ada.email, ada.role, ada.locale, ada.time_zone) == (
        "Ada", "ada@shop.example", "customer", "en", "UTC",
    )  # fmt: skip
    assert (ada.active, ada.email_verified_at, ada.version, ada.phone) == (True, None, 1, None)
    assert ada.password_hash.startswith("$argon2id$")
    assert PASSWORD not in ada.password_hash
    assert told(app) == [("verify_email", ada.id)]


def test_everything_that_may_be_said_is_kept(app, client):
    said = {"phone": "+44 20 7946 0000", "locale": "pt-BR", "time_zone": "America/Sao_Paulo", "role": "customer"}
    register(client, " Ada@Shop.EXAMPLE ", **said)
    [ada] = users(app)
    assert (ada.email, ada.phone, ada.locale, ada.time_zone) == (
        "ada@shop.example", "+442079460000", "pt-BR", "America/Sao_Paulo",
    )  # fmt: skip


@pytest.mark.parametrize("again", ["ada@shop.example", "ADA@shop.example", " ada@SHOP.example "])
def test_a_taken_address_gets_the_same_answer_and_its_owner_a_mail(app, client, again):
    first = register(client, "ada@shop.example")
    second = register(client, again, name="Mallory")
    third = register(client, "bob@shop.example")

    assert first.data == second.data == third.data
    interesting = ("Content-Type", "Cache-Control", "Vary", "Content-Length")
    assert [first.headers[name] for name in interesting] == [second.headers[name] for name in interesting]
    assert set(first.headers.keys()) == set(second.headers.keys())
    ada, bob = users(app)
    assert ada.name == "Ada", "whoever registers a taken address changes nothing"
    assert told(app) == [("verify_email", ada.id), ("already_registered", ada.id), ("verify_email", bob.id)]
    assert login(client, "ada@shop.example", PASSWORD).status_code == 200


def test_an_address_is_free_again_after_an_erasure(app, client, people):
    ada = people.customer(email="ada@shop.example")
    assert ada.delete(f"/api/users/{ada.user_id}", headers={"If-Match": "*"}).status_code == 204
    register(client, "ada@shop.example")
    assert login(client, "ada@shop.example", PASSWORD).status_code == 200


def test_nobody_makes_themselves_more_than_a_customer(app, client, people):
    for role in ("courier", "dispatcher", "admin"):
        assert wrong(client.post("/api/users", json={**ADA, "role": role})) == {"/role": "forbidden"}
        for who in (people.customer(), people.courier(), people.dispatcher()):
            assert wrong(who.post("/api/users", json={**ADA, "role": role})) == {"/role": "forbidden"}
    for name in ("active", "email_verified_at", "epoch", "id", "version", "first_admin", "password_hash", "is_admin"):
        assert wrong(client.post("/api/users", json={**ADA, name: 1})) == {f"/{name}": "unknown"}
    assert "ada@shop.example" not in {user.email for user in users(app)}


def test_who_is_signed_in_but_no_admin_registers_as_anybody_does(people):
    response = people.customer().post("/api/users", json=ADA)
    assert response.status_code == 202
    assert response.json.keys() == {"detail"}


def test_a_token_that_is_dead_makes_nobody_an_admin(client, people):
    admin = people.admin()
    admin.post("/api/auth/logout")
    problem(admin.post("/api/users", json={**ADA, "role": "admin"}), 401)
    problem(client.post("/api/users", json=ADA, headers={"Authorization": "Bearer x.y.z"}), 401)


def test_an_admin_makes_users_of_every_role_verified_already(app, client, people):
    admin = people.admin()
    for role in ("customer", "courier", "dispatcher", "admin"):
        response = admin.post("/api/users", json={**ADA, "email": f"{role}@x.example", "role": role})
        assert response.status_code == 201
        made = response.json
        assert (made["role"], made["email_verified_at"] is not None) == (role, True)
        assert response.headers["Location"] == f"/api/users/{made['id']}"
        assert response.headers["ETag"] == '"1"'
        assert admin.get(response.headers["Location"]).json == made
        assert login(client, f"{role}@x.example", PASSWORD).status_code == 200
    assert told(app) == []


def test_an_admin_is_told_that_an_address_is_taken(people):
    admin, ada = people.admin(), people.customer(email="ada@shop.example")
    problem(admin.post("/api/users", json={**ADA, "email": "ADA@shop.example"}), 409, "email_taken")
    assert admin.get(f"/api/users/{ada.user_id}").json["version"] == 1


def test_all_that_is_wrong_is_named_at_once(client):
    body = {"name": " ", "email": "ada", "password": "short", "phone": "1", "locale": "?", "time_zone": "Mars", "x": 1}
    assert wrong(client.post("/api/users", json=body)) == {
        "/name": "invalid", "/email": "invalid", "/password": "invalid", "/phone": "invalid", "/locale": "invalid",
        "/time_zone": "invalid", "/x": "unknown",
    }  # fmt: skip
    assert wrong(client.post("/api/users", json={})) == dict.fromkeys(["/name", "/email", "/password"], "required")


def test_every_password_of_a_fair_length_signs_in(client):
    """Length counts (NIST SP 800-63B-4): spaces, emoji and any script are fine, and nothing is cut off."""
    good = [
        "xkcdisright!", "x marks the spot" * 8, " . . . ?     ! ", "  leading and trailing  ",
        "\U0001f40e\U0001f346 \U0001f9ca\U0001f40e \U0001f319\U0001f40e \U0001f346\U0001f335 \U0001f419",
        "пароль длинный", "密碼很長而且很不容易猜到",
        "tab\tand\nline ends", "\u202eright to left", "élève à l'école",
    ]  # fmt: skip
    for number, password in enumerate(good):
        email = f"user{number}@x.example"
        register(client, email, password=password)
        assert login(client, email, password).status_code == 200, password
        assert login(client, email, password[:-1]).status_code == 401, password
        assert login(client, email, password.swapcase() + "x").status_code in {401, 422}, password


def test_one_password_has_one_form_however_it_was_typed(client):
    """NFKC: composed and decomposed letters, and wide and plain ones, are the same to whoever types them."""
    register(client, "ada@shop.example", password="Ångström café №1")
    for typed in ("Ångström cafe\u0301 №1", "\u212bngstro\u0308m café №1", "Ångström café No1"):
        assert login(client, "ada@shop.example", typed).status_code == 200, ascii(typed)
    assert login(client, "ada@shop.example", "Angstrom cafe No1").status_code == 401


def test_a_password_that_is_too_short_or_too_long_is_refused(client, make_app):
    for password in ("", "x" * 11, "x" * 129, "x" * 100_000):
        assert wrong(client.post("/api/users", json={**ADA, "password": password})) == {"/password": "invalid"}
    for password in (None, 123456789012, ["x" * 12], {"a": "x" * 12}, True):
        response = client.post("/api/users", json={**ADA, "password": password})
        assert wrong(response).keys() == {"/password"}, password
    assert wrong(client.post("/api/users", json={**ADA, "password": "x" * 12 + "\0"})) == {"/password": "invalid"}
    shrinking = "e\u0301" * 6  # twelve code points, six characters
    assert wrong(client.post("/api/users", json={**ADA, "password": shrinking})) == {"/password": "invalid"}
    strict = make_app(PASSWORD_MIN_LENGTH="20").test_client()
    assert wrong(strict.post("/api/users", json={**ADA, "password": "x" * 19})) == {"/password": "invalid"}


def test_somebody_elses_password_does_not_sign_in(client, people):
    people.customer(email="bob@shop.example")
    register(client, "ada@shop.example")
    problem(login(client, "ada@shop.example", OTHER_PASSWORD), 401)
