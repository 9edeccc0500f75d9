"""Confirming an address: by the newest link, once, by whoever it was sent to; everything else is one 400."""

import re
import time
from urllib.parse import urlsplit

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from sqlalchemy import select, update

from delivery.auth.schemas import LONGEST_TOKEN
from delivery.database import db, now, transaction
from delivery.notifications.models import OutboxMessage
from delivery.tokens import Purpose, issue
from delivery.users.models import User
from tests.auth.links import PASSWORD, link_of, link_token, register, token_of
from tests.auth.signing_in import login
from tests.web.answers import problem, wrong
from tests.web.elsewhere import elsewhere

ADDRESS = "ada@shop.example"


@pytest.fixture
def app(make_app):
    """An app that lets only the verified in, as outside development."""
    return make_app(REQUIRE_VERIFIED_EMAIL="true")


def verify(client, token):
    return client.post("/api/auth/verify-email", json={"token": token}, **elsewhere())


def refused(response):
    return {**problem(response, 400, "invalid_token"), "request_id": ""}


def user(app, email=ADDRESS):
    with app.app_context():
        return db.session.execute(select(User).where(User.email == email)).scalar_one()


def newest(app):
    with app.app_context():
        return db.session.execute(select(OutboxMessage).order_by(OutboxMessage.id.desc()).limit(1)).scalar_one()


def test_the_way_from_registration_to_the_first_sign_in(app, client, mailbox):
    register(client, ADDRESS)
    problem(login(client, ADDRESS, PASSWORD), 401, "invalid_credentials")
    [letter] = mailbox()
    assert letter.address == ADDRESS
    link = link_of(letter)
    assert link in letter.html.replace("&amp;", "&")
    assert link.startswith(app.config["PUBLIC_BASE_URL"] + "/api/auth/verify-email?token=")

    page = client.get(link.removeprefix(app.config["PUBLIC_BASE_URL"]))
    assert page.status_code == 200
    assert user(app).email_verified_at is None, "looking uses nothing up"
    form = dict(re.findall(r'name="(\w+)" value="([^"]+)"', page.text))
    done = client.post(re.search(r'action="([^"]+)"', page.text)[1], data=form)
    assert (done.status_code, done.mimetype) == (200, "text/html")
    assert login(client, ADDRESS, PASSWORD).status_code == 200


def test_the_link_goes_where_the_settings_say_whatever_host_was_asked(make_app, mailbox, app, client):
    headers = {"Host": "127.0.0.1:9", "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
    body = {"name": "Ada", "email": ADDRESS, "password": PASSWORD}
    assert client.post("/api/users", json=body, headers=headers).status_code == 202
    [letter] = mailbox()
    link = urlsplit(link_of(letter))
    assert f"{link.scheme}://{link.netloc}" == app.config["PUBLIC_BASE_URL"]
    assert "evil" not in letter.text


def test_the_token_is_stored_nowhere(app, client, mailbox):
    register(client, ADDRESS)
    [letter] = mailbox()
    token = token_of(letter)
    with app.app_context():
        rows = db.session.execute(select(OutboxMessage)).scalars().all()
        assert not [row for row in rows if token[:20] in str(vars(row))]


def test_confirming_is_a_change_of_the_account(app, client):
    register(client, ADDRESS)
    response = verify(client, link_token(app, ADDRESS))
    assert (response.status_code, response.data) == (204, b"")
    changed = user(app)
    assert changed.email_verified_at is not None
    assert changed.version == 2
    assert changed.verify_nonce is None


def test_links_that_do_not_work_all_fail_the_same(app, client, people):
    register(client, ADDRESS)
    register(client, "bob@shop.example")
    older = link_token(app, ADDRESS)
    assert client.post("/api/auth/request-verification", json={"email": ADDRESS}).status_code == 202
    newest = link_token(app, ADDRESS)
    ada, bob = user(app), user(app, "bob@shop.example")

    def minted(**claims):
        with app.app_context():
            good = {"uid": str(ada.id), "epoch": ada.epoch, "nonce": ada.verify_nonce}
            return issue(Purpose.VERIFY_EMAIL, {**good, **claims})

    with app.app_context():
        claims = {"uid": str(ada.id), "epoch": 1, "nonce": ada.verify_nonce}
        foreign = [
            URLSafeTimedSerializer(app.config["SECRET_KEY"], salt=salt).dumps(claims)
            for salt in ("delivery.reset-password", "cursor", "")
        ]
        other_key = URLSafeTimedSerializer("x" * 32, salt="delivery.verify-email").dumps(claims)
    answers = {
        "older": older,
        "somebody else's nonce": minted(nonce=bob.verify_nonce),
        "somebody else": minted(uid=str(bob.id)),
        "another epoch": minted(epoch=2),
        "no nonce": minted(nonce=None),
        "changed": newest[:-5] + ("A" if newest[-5] != "A" else "B") + newest[-4:],
        "cut": newest[:20],
        "an access token": people.customer().headers["Authorization"].removeprefix("Bearer "),
        "another key": other_key,
        "a word": "x",
        "empty": "",
        "dots": "..",
        "non-ASCII": "é.ü.ß",
        "an emoji": "\U0001f40e",
        "as long as may be": "x" * LONGEST_TOKEN,
        "a good one and all that goes in": newest.ljust(LONGEST_TOKEN, "x"),
        **{f"another purpose {number}": token for number, token in enumerate(foreign)},
    }
    bodies = []
    for name, token in answers.items():
        response = verify(client, token)
        assert response.status_code == 400, f"{name}: {response.text}"
        bodies.append(refused(response))
    assert verify(client, newest).status_code == 204
    bodies.append(refused(verify(client, newest)))
    assert all(body == bodies[0] for body in bodies)


def test_a_link_dies_after_a_day(app, client, monkeypatch):
    register(client, ADDRESS)
    token = link_token(app, ADDRESS)
    later = int(time.time()) + 24 * 3600 + 60
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: later)
    refused(verify(client, token))
    monkeypatch.undo()
    assert verify(client, token).status_code == 204


def test_a_link_dies_with_what_ends_sessions(app, client, people):
    admin = people.admin()
    register(client, ADDRESS)
    token, path = link_token(app, ADDRESS), f"/api/users/{user(app).id}"
    for active in (False, True):
        assert admin.patch(path, json={"active": active}, headers={"If-Match": "*"}).status_code == 200
    refused(verify(client, token))
    assert admin.delete(path, headers={"If-Match": "*"}).status_code == 204
    refused(verify(client, token))


def test_looking_at_a_link_uses_nothing_up_whatever_it_holds(app, client):
    """Mail scanners open links; so does whoever forges them."""
    register(client, ADDRESS)
    token = link_token(app, ADDRESS)
    for _ in range(3):
        for method in ("GET", "HEAD"):
            assert (
                client.open(f"/api/auth/verify-email?token={token}&utm_source=mail", method=method).status_code == 200
            )
    page = client.get("/api/auth/verify-email?token=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert verify(client, token).status_code == 204


def test_what_is_no_token_at_all_is_a_422(client):
    assert wrong(client.post("/api/auth/verify-email", json={})) == {"/token": "required"}
    assert wrong(client.post("/api/auth/verify-email", json={"token": 1})) == {"/token": "invalid"}
    assert wrong(client.get("/api/auth/verify-email")) == {"/token": "required"}
    problem(client.get("/api/auth/verify-email?token=%00"), 422)


def test_asking_for_a_link_answers_the_same_for_every_address(app, client, people, mailbox):
    """Known, unknown, verified, inactive: only the mailbox tells, and only its owner reads it."""
    register(client, ADDRESS)
    assert len(mailbox()) == 1
    people.customer(email="verified@x.example")
    asleep = people.customer(email="asleep@x.example")
    people.admin().patch(f"/api/users/{asleep.user_id}", json={"active": False}, headers={"If-Match": "*"})
    addresses = ["ADA@shop.example ", "nobody@x.example", "verified@x.example", "asleep@x.example"]
    answers = [client.post("/api/auth/request-verification", json={"email": address}) for address in addresses]

    assert {(answer.status_code, answer.data) for answer in answers} == {(202, answers[0].data)}
    assert [letter.address for letter in mailbox()] == [ADDRESS]
    assert wrong(client.post("/api/auth/request-verification", json={"email": "nobody"})) == {"/email": "invalid"}


def test_mails_that_waited_all_carry_the_newest_link(app, client, mailbox):
    """The link is made when the mail is sent, so a mailer that was down sends no links that are dead already."""
    register(client, ADDRESS)
    for _ in range(2):
        client.post("/api/auth/request-verification", json={"email": ADDRESS})
    tokens = {token_of(letter) for letter in mailbox()}
    assert verify(client, tokens.pop()).status_code == 204
    for used in tokens:
        refused(verify(client, used))


def test_a_mail_that_is_no_longer_needed_is_not_sent(app, client, mailbox):
    register(client, ADDRESS)
    assert verify(client, link_token(app, ADDRESS)).status_code == 204
    assert mailbox() == []
    with app.app_context():
        [row] = db.session.execute(select(OutboxMessage)).scalars()
        assert (row.state, row.error_class) == ("suppressed", "nothing_to_verify")


def test_a_mail_that_is_sent_twice_carries_no_dead_link(app, client, mailbox):
    """Composed again after another was asked for, it has that one's link."""
    register(client, ADDRESS)
    [first] = mailbox()
    client.post("/api/auth/request-verification", json={"email": ADDRESS})
    with app.app_context(), transaction() as session:
        session.execute(update(OutboxMessage).values(state="pending", settled_at=None, next_at=now()))
    refused(verify(client, token_of(first)))
    letters = mailbox()
    assert len(letters) == 2
    for letter in letters:
        claims = URLSafeTimedSerializer(app.config["SECRET_KEY"], salt="delivery.verify-email").loads(token_of(letter))
        assert claims["asked"] == newest(app).id.hex
    assert verify(client, token_of(letter)).status_code == 204


def test_asking_for_a_link_writes_a_message_and_nothing_else(app, client, count_statements):
    """Neither the answer's time nor what is written tells a waiting address from another."""
    register(client, ADDRESS)
    token, written = link_token(app, ADDRESS), []
    for address in ("nobody@x.example", ADDRESS):
        with count_statements() as statements:
            client.post("/api/auth/request-verification", json={"email": address})
        written.append([one for one in statements if one.startswith(("INSERT", "UPDATE", "DELETE"))])
    assert written[0] == written[1]
    assert not [one for one in written[1] if "INTO users" in one or one.startswith("UPDATE users")]
    refused(verify(client, token))


def test_a_link_from_before_links_named_their_request_works(app, client):
    register(client, ADDRESS)
    ada = user(app)
    with app.app_context():
        token = issue(Purpose.VERIFY_EMAIL, {"uid": str(ada.id), "epoch": ada.epoch, "nonce": ada.verify_nonce})
    assert verify(client, token).status_code == 204
