"""A forgotten password: by the newest link, once, within half an hour; everything else is one 400."""

import time
from uuid import UUID

import pytest
from itsdangerous import TimestampSigner
from sqlalchemy import select, update

from delivery.auth.events import ApiKeysRevoked
from delivery.auth.models import AuthSession
from delivery.auth.schemas import LONGEST_TOKEN
from delivery.database import db, transaction
from delivery.notifications.models import OutboxMessage
from delivery.tokens import Purpose, issue
from delivery.users.models import User
from tests.audit.entries import acts
from tests.auth.keys import KEYS, key_of, made, works
from tests.auth.links import PASSWORD as REGISTERED
from tests.auth.links import link_of, link_token, register, token_of
from tests.auth.signing_in import login, signed_in_again
from tests.factories import PASSWORD
from tests.web.answers import problem, wrong
from tests.web.elsewhere import elsewhere
from tests.web.racing import race

ADDRESS, NEW = "ada@shop.example", "another fine phrase"


@pytest.fixture
def ada(people):
    return people.customer(email=ADDRESS)


def forgot(client, email=ADDRESS, **options):
    response = client.post("/api/auth/request-password-reset", json={"email": email}, **{**elsewhere(), **options})
    assert response.status_code == 202, response.text
    return response


def reset(client, token, password=NEW, **more):
    return client.post("/api/auth/reset-password", json={"token": token, "password": password, **more}, **elsewhere())


def refused(response):
    return {**problem(response, 400, "invalid_token"), "request_id": ""}


def stored(app, email=ADDRESS):
    with app.app_context():
        return db.session.execute(select(User).where(User.email == email)).scalar_one()


def test_the_way_from_a_forgotten_password_to_signing_in(app, client, ada, mailbox):
    second = signed_in_again(ada)
    forgot(client, " ADA@shop.example ")
    [letter] = mailbox()
    assert (letter.address, letter.subject) == (ADDRESS, "Choose a new password")
    assert link_of(letter).startswith(app.config["PUBLIC_BASE_URL"] + "/api/auth/reset-password?token=")
    response = reset(client, token_of(letter))

    assert (response.status_code, response.data) == (204, b""), "it does not sign in"
    for session in (ada, second):
        problem(session.get("/api/auth/me"), 401)
    with app.app_context():
        assert None not in db.session.execute(select(AuthSession.revoked_at)).scalars().all()
    problem(login(client, ADDRESS, PASSWORD, **elsewhere()), 401)
    assert login(client, ADDRESS, NEW, **elsewhere()).status_code == 200
    changed = stored(app)
    assert (changed.epoch, changed.version, changed.reset_nonce) == (2, 2, None)
    [notice] = mailbox()
    assert (notice.address, notice.subject) == (ADDRESS, "Your password has been changed")
    assert "http" not in notice.text
    assert [act for act, *_ in acts(app, "password*")] == ["password.reset_requested", "password.reset"]


def test_whoever_reads_the_mail_has_the_address(make_app):
    app = make_app(REQUIRE_VERIFIED_EMAIL="true")
    client = app.test_client()
    register(client, ADDRESS)
    verification = link_token(app, ADDRESS)
    problem(login(client, ADDRESS, REGISTERED), 401)
    assert reset(client, link_token(app, ADDRESS, Purpose.RESET_PASSWORD)).status_code == 204
    assert stored(app).email_verified_at is not None
    assert login(client, ADDRESS, NEW).status_code == 200
    refused(client.post("/api/auth/verify-email", json={"token": verification}))


def test_the_moment_of_an_earlier_verification_stays(app, client, ada):
    before = stored(app).email_verified_at
    assert reset(client, link_token(app, ADDRESS, Purpose.RESET_PASSWORD)).status_code == 204
    assert stored(app).email_verified_at == before


def test_asking_answers_and_writes_the_same_for_every_address(app, client, people, ada, mailbox):
    asleep = people.customer(email="asleep@x.example")
    people.admin().patch(f"/api/users/{asleep.user_id}", json={"active": False}, headers={"If-Match": "*"})
    answers = [forgot(client, email) for email in (ADDRESS, "nobody@x.example", "asleep@x.example")]

    assert {answer.data for answer in answers} == {answers[0].data}
    assert len({str(sorted(answer.headers.keys())) for answer in answers}) == 1
    with app.app_context():
        assert db.session.execute(select(OutboxMessage.template)).scalars().all() == 3 * ["reset_password"]
    asked = [object_id for _, object_id, _ in acts(app, "password.reset_requested")]
    assert asked == [UUID(ada.user_id), None, None]
    assert [letter.address for letter in mailbox()] == [ADDRESS]
    assert wrong(client.post("/api/auth/request-password-reset", json={"email": "nobody"})) == {"/email": "invalid"}


def test_links_that_do_not_work_all_fail_the_same(app, client, people, ada):
    people.customer(email="bob@shop.example")
    older = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    forgot(client)
    newest = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    bobs = link_token(app, "bob@shop.example", Purpose.RESET_PASSWORD)
    me, bob = stored(app), stored(app, "bob@shop.example")

    def minted(purpose=Purpose.RESET_PASSWORD, **claims):
        with app.app_context():
            return issue(purpose, {"uid": str(me.id), "epoch": 1, "nonce": me.reset_nonce, **claims})

    answers = {
        "older": older,
        "somebody else": minted(uid=str(bob.id)),
        "somebody else's nonce": minted(nonce=bob.reset_nonce),
        "another epoch": minted(epoch=2),
        "no nonce": minted(nonce=None),
        "to verify": minted(Purpose.VERIFY_EMAIL),
        "to change an address": minted(Purpose.CHANGE_EMAIL),
        "an access token": ada.headers["Authorization"].removeprefix("Bearer "),
        "cut": newest[:-1],
        "cut short": newest[:20],
        "lengthened": newest + "A",
        "as long as may be": "x" * LONGEST_TOKEN,
        "empty": "",
        "no ASCII": "é.ü.\U0001f40e",
    }
    bodies = []
    for name, token in answers.items():
        response = reset(client, token)
        assert response.status_code == 400, f"{name}: {response.text}"
        bodies.append(refused(response))
    assert login(client, ADDRESS, PASSWORD, **elsewhere()).status_code == 200
    assert reset(client, newest).status_code == 204
    bodies += [refused(reset(client, token)) for token in (newest, newest, older)]
    assert all(body == bodies[0] for body in bodies)
    assert reset(client, bobs).status_code == 204


@pytest.mark.parametrize("purpose", [Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL])
def test_a_reset_link_is_no_other_link(app, client, ada, purpose):
    token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    path = {Purpose.VERIFY_EMAIL: "verify-email", Purpose.CHANGE_EMAIL: "confirm-email"}[purpose]
    refused(client.post(f"/api/auth/{path}", json={"token": token}))


def test_a_link_lives_for_half_an_hour_from_when_it_was_sent(app, client, ada, monkeypatch):
    token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    later = int(time.time()) + 30 * 60 + 60
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: later)
    refused(reset(client, token))
    monkeypatch.undo()
    assert reset(client, token).status_code == 204


def test_a_link_that_could_not_be_sent_in_time_is_not_sent(client, ada, mailbox, travel):
    forgot(client)
    travel(minutes=31)
    assert mailbox() == []


def test_what_ends_sessions_ends_links(app, client, people, ada):
    admin, token = people.admin(), link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    for active in (False, True):
        admin.patch(f"/api/users/{ada.user_id}", json={"active": active}, headers={"If-Match": "*"})
    refused(reset(client, token))


def test_nobody_who_is_inactive_gets_in_by_a_link(app, client, ada):
    token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    with app.app_context(), transaction() as session:
        session.execute(update(User).values(active=False))
    refused(reset(client, token))


def test_a_weak_password_uses_nothing_up(app, client, people):
    people.customer(email=ADDRESS, name="Ada Lovelace")
    token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    for password in (
        "short",
        "password1234",
        "AdaLovelace1815",
        "ada@shop.example",
        "x" * 129,
        "with \0 in the middle",
    ):
        assert wrong(reset(client, token, password)) == {"/password": "invalid"}, password
    assert wrong(reset(client, token, None)) == {"/password": "null"}
    assert reset(client, token).status_code == 204


def test_one_of_many_at_once_wins(app, ada):
    token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    attempts = [lambda word=word: reset(app.test_client(), token, f"another {word} phrase") for word in "abcdef"]
    assert sorted(response.status_code for response in race(*attempts)) == [204, *5 * [400]]


def test_a_reset_forgives_failed_logins(app, client, ada):
    with app.app_context():
        for _ in range(5):
            login(client, ADDRESS, "wrong words again")
    assert reset(client, link_token(app, ADDRESS, Purpose.RESET_PASSWORD)).status_code == 204
    assert login(client, ADDRESS, NEW).status_code == 200


def test_api_keys_end_only_when_it_is_asked_for(app, client, ada, monkeypatch):
    ended = []
    reactions = {
        **app.extensions["delivery.reactions"],
        ApiKeysRevoked: [lambda facts: ended.extend(str(fact.user_id) for fact in facts)],
    }
    monkeypatch.setitem(app.extensions, "delivery.reactions", reactions)
    for asked in (False, True):
        token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
        assert reset(client, token, revoke_api_keys=asked).status_code == 204
        assert ended == [ada.user_id] * asked
    for text in ("yes", "true", 1):
        assert wrong(reset(client, token, revoke_api_keys=text)) == {"/revoke_api_keys": "invalid"}


def test_no_key_of_whoever_registered_anothers_address_outlives_its_owners_reset(app, client, ada):
    """From before keys needed a confirmed address; whoever has the mail now may be somebody else."""
    key = key_of(ada)
    with app.app_context(), transaction() as session:
        session.execute(update(User).where(User.email == ADDRESS).values(email_verified_at=None))
    assert works(key)
    assert reset(client, link_token(app, ADDRESS, Purpose.RESET_PASSWORD), revoke_api_keys=False).status_code == 204
    assert not works(key)


@pytest.mark.parametrize(("revoke", "words"), [(False, "2 API keys of the account still work"), (True, None)])
def test_the_notice_says_how_many_keys_still_work(app, ada, mailbox, revoke, words):
    ended, *_ = (made(ada) for _ in "123")
    ada.delete(f"{KEYS}/{ended['id']}")
    mailbox()
    token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    assert reset(app.test_client(), token, revoke_api_keys=revoke).status_code == 204
    [notice] = mailbox()
    for text in (notice.text, notice.html):
        assert words in text if words else "API key" not in text


def test_five_an_hour_for_an_address_and_ten_tries_at_a_link(app, client, ada, travel):
    for _ in range(5):
        forgot(client)
    limited = client.post("/api/auth/request-password-reset", json={"email": ADDRESS}, **elsewhere())
    problem(limited, 429, "too_many_requests")
    assert int(limited.headers["Retry-After"]) > 3000
    nobodys = [
        client.post("/api/auth/request-password-reset", json={"email": "no@x.example"}, **elsewhere()) for _ in "123456"
    ]
    assert [answer.status_code for answer in nobodys] == [*5 * [202], 429], "known or not"
    one = elsewhere()
    for path in ("reset-password", "verify-email", "confirm-email"):
        body = {"token": "x"} | ({"password": NEW} if path == "reset-password" else {})
        answers = [client.post(f"/api/auth/{path}", json=body, **one).status_code for _ in range(4)]
    assert answers == [400, 400, 429, 429]
    travel(hours=1, seconds=1)
    forgot(client)


def test_the_host_of_a_request_is_in_no_link(make_app, client, ada, mailbox, app):
    """Where TRUSTED_HOSTS knows it, it changes nothing; where it does not, nothing is sent."""
    problem(
        client.post("/api/auth/request-password-reset", json={"email": ADDRESS}, headers={"Host": "evil.example"}), 400
    )
    assert mailbox() == []
    trusting = make_app(TRUSTED_HOSTS="localhost,.example").test_client()
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
    forgot(trusting, headers=headers)
    [letter] = mailbox()
    assert link_of(letter).startswith(app.config["PUBLIC_BASE_URL"] + "/")
    assert "evil" not in letter.text + letter.html


def test_mails_that_are_no_longer_needed_are_not_sent(app, client, people, mailbox):
    for number, state in enumerate(["used", "inactive", "erased"]):
        email = f"user{number}@x.example"
        one = people.customer(email=email)
        forgot(client, email)
        if state == "used":
            assert reset(client, link_token(app, email, Purpose.RESET_PASSWORD)).status_code == 204
        elif state == "inactive":
            people.admin().patch(f"/api/users/{one.user_id}", json={"active": False}, headers={"If-Match": "*"})
        else:
            assert one.delete(f"/api/users/{one.user_id}", headers={"If-Match": "*"}).status_code == 204
    assert [letter.subject for letter in mailbox()] == ["Your password has been changed"]
