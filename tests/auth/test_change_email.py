"""Another address: the new one confirms it, the old one hears of it, and nobody learns whose it was."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from delivery import limits
from delivery.auth.addresses import FORMER_KEPT_SECONDS
from delivery.auth.schemas import LONGEST_TOKEN
from delivery.database import db
from delivery.notifications.models import OutboxMessage
from delivery.ops.housekeeping import Housekeeping
from delivery.tokens import Purpose, issue
from delivery.users.models import FormerEmail, User
from tests.audit.entries import acts
from tests.auth.links import link_of, link_token, token_of
from tests.auth.signing_in import login
from tests.conftest import rows
from tests.factories import PASSWORD
from tests.web.answers import problem, wrong
from tests.web.elsewhere import elsewhere
from tests.web.racing import race

OLD, NEW = "ada@shop.example", "ada@new.example"


@pytest.fixture
def ada(people):
    return people.customer(email=OLD)


def ask(who, email=NEW, password=PASSWORD, **options):
    return who.post("/api/auth/change-email", json={"email": email, "password": password}, **elsewhere(), **options)


def confirm(client, token):
    return client.post("/api/auth/confirm-email", json={"token": token}, **elsewhere())


def refused(response):
    return {**problem(response, 400, "invalid_token"), "request_id": ""}


def test_the_way_from_one_address_to_another(app, client, ada, mailbox):
    assert ask(ada, " ADA@new.example ").status_code == 202
    [letter] = mailbox()
    assert letter.address == NEW
    assert link_of(letter).startswith(app.config["PUBLIC_BASE_URL"] + "/api/auth/confirm-email?token=")
    assert ada.get("/api/auth/me").json["email"] == OLD, "until it is confirmed"
    reset = link_token(app, OLD, Purpose.RESET_PASSWORD)
    response = confirm(client, token_of(letter))

    assert (response.status_code, response.data) == (204, b"")
    me = ada.get("/api/auth/me").json
    assert (me["email"], me["version"]) == (NEW, 2)
    assert login(client, NEW).status_code == 200
    problem(login(client, OLD), 401)
    [notice] = mailbox()
    assert (notice.address, notice.subject) == (OLD, "The address of your account has been changed")
    assert NEW not in notice.text
    refused(confirm(client, token_of(letter)))
    body = {"token": reset, "password": "another fine phrase"}
    refused(client.post("/api/auth/reset-password", json=body, **elsewhere()))  # it was sent to the old one
    assert [act for act, *_ in acts(app, "email*")] == ["email.change_requested", "email.changed"]


def test_each_address_before_hears_of_its_own_change(app, client, ada, mailbox):
    """Also when the mailer was down: whoever changes it twice must not hide the first change."""
    for new in (NEW, "mallory@evil.example"):
        assert ask(ada, new).status_code == 202
        email = ada.get("/api/auth/me").json["email"]
        assert confirm(client, change_token(app, email)).status_code == 204
    notices = [letter.address for letter in mailbox() if "changed" in letter.subject]
    assert sorted(notices) == sorted([OLD, NEW])


def change_token(app, email):
    """The token of the newest link that has been asked for."""
    with app.app_context():
        user = db.session.execute(select(User).where(User.email == email)).scalar_one()
        return issue(Purpose.CHANGE_EMAIL, {"uid": str(user.id), "epoch": user.epoch, "nonce": user.email_nonce})


def test_an_address_that_is_somebody_elses_gets_the_same_answer_and_no_mail(app, ada, people, mailbox):
    people.customer(email="bob@shop.example")
    taken, free = ask(ada, "bob@shop.example"), ask(ada)
    assert (taken.status_code, taken.data) == (free.status_code, free.data)
    assert set(taken.headers.keys()) == set(free.headers.keys())
    assert ask(ada, "bob@shop.example").status_code == 202
    assert mailbox() == []
    with app.app_context():
        found = db.session.execute(select(OutboxMessage.state, OutboxMessage.error_class)).all()
    assert {tuple(row) for row in found} == {("suppressed", "address_taken")}


def test_an_address_that_was_taken_meanwhile_is_a_dead_link(app, client, ada, people, mailed):
    ask(ada)
    token = mailed()
    bob = people.customer(email=NEW)
    refused(confirm(client, token))
    assert ada.get("/api/auth/me").json["email"] == OLD
    assert bob.get("/api/auth/me").json["email"] == NEW
    assert rows(app, FormerEmail) == 0


def test_of_two_who_want_one_address_one_gets_it(app, client, people):
    both = [people.customer(email=f"user{number}@x.example") for number in "12"]
    assert [ask(one).status_code for one in both] == [202, 202]
    tokens = [change_token(app, f"user{number}@x.example") for number in "12"]
    answers = race(*[lambda token=token: confirm(app.test_client(), token) for token in tokens])
    assert sorted(answer.status_code for answer in answers) == [204, 400]


def test_links_that_do_not_work_all_fail_the_same(app, client, ada, people):
    ask(ada, "first@new.example")
    older = change_token(app, OLD)
    ask(ada)
    newest = change_token(app, OLD)
    answers = [older, newest[:-1], newest + "A", "x" * LONGEST_TOKEN, "", link_token(app, OLD, Purpose.RESET_PASSWORD)]
    with app.app_context():
        answers.append(issue(Purpose.CHANGE_EMAIL, {"uid": people.customer().user_id, "epoch": 1, "nonce": None}))
    bodies = [refused(confirm(client, token)) for token in answers]
    assert all(body == bodies[0] for body in bodies)
    body = {"current_password": PASSWORD, "new_password": "another fine phrase"}
    assert ada.post("/api/auth/change-password", json=body, **elsewhere()).status_code == 200
    assert refused(confirm(client, newest)) == bodies[0], "a new password ends all links"


def test_a_wrong_password_is_a_wrong_field_and_counts(ada, client):
    one = elsewhere()
    body = {"email": NEW, "password": "not my password"}
    answers = [ada.post("/api/auth/change-email", json=body, **one) for _ in range(6)]
    assert [wrong(answer) for answer in answers[:5]] == 5 * [{"/password": "invalid"}]
    problem(answers[5], 429)
    assert wrong(ada.post("/api/auth/change-email", json={})) == dict.fromkeys(["/email", "/password"], "required")
    problem(client.post("/api/auth/change-email", json=body), 401)


def test_one_address_is_not_flooded(ada, people):
    answers = [ask(who).status_code for who in (ada, people.customer(), people.customer(), people.customer())]
    assert answers == [202, 202, 202, 429]


def test_the_right_password_is_no_failed_login_when_the_address_has_had_enough(app, ada, people):
    for who in (people.customer(), people.customer(), people.customer()):
        ask(who)
    assert [ask(ada).status_code for _ in range(7)] == 7 * [429]
    with app.app_context():
        mine = db.session.execute(select(limits.Attempt.action).where(limits.Attempt.action == limits.LOGIN)).all()
        assert (mine, db.session.scalar(select(func.sum(limits.Streak.count)))) == ([], None)
    assert ask(ada, "another@new.example").status_code == 202


def test_a_wrong_password_does_not_spend_what_an_address_is_sent(app, ada):
    for _ in range(4):
        assert wrong(ask(ada, password="not my password")) == {"/password": "invalid"}
    with app.app_context():
        assert db.session.scalar(select(limits.Streak.count)) == 4, "the guesses count"
    assert ask(ada).status_code == 202


def test_a_repeat_under_a_key_asks_once(app, ada):
    headers = {"Idempotency-Key": "k"}
    first, second = (ask(ada, headers=headers) for _ in "12")
    assert first.data == second.data
    assert second.headers["Idempotent-Replayed"] == "true"
    assert rows(app, OutboxMessage) == 1


def test_hostile_addresses_are_refused_and_look_alikes_are_one(ada, people):
    hostile = [
        "a@b.example\r\nBcc: c@d.example", "a@b.example\nX: y", "a@b.example, c@d.example", "a" * 250 + "@b.example",
        "\uff41da@new.example", "\u0430da@new.example", "ada@new.example\u2028x", "ad\u0131@new.example",
    ]  # fmt: skip
    for address in hostile:
        assert wrong(ask(ada, address)) == {"/email": "invalid"}, ascii(address)
    assert ask(ada, "ADA@SHOP.example").status_code == 202


def test_an_erasure_forgets_addresses_before_and_to_come(app, client, ada, mailbox):
    ask(ada)
    assert confirm(client, change_token(app, OLD)).status_code == 204
    ask(ada, "third@new.example")
    assert ada.delete(f"/api/users/{ada.user_id}", headers={"If-Match": "*"}).status_code == 204
    assert rows(app, FormerEmail) == 0
    with app.app_context():
        user = db.session.execute(select(User)).scalar_one()
    assert (user.new_email, user.email_nonce, user.reset_nonce) == (None, None, None)
    assert mailbox() == []


def test_addresses_before_are_kept_for_a_week(app, client, ada, travel):
    ask(ada)
    confirm(client, change_token(app, OLD))
    kept = timedelta(seconds=FORMER_KEPT_SECONDS).days
    for days, left in ((kept - 1, 1), (2, 0)):
        travel(days=days)
        with app.app_context():
            Housekeeping().do()
        assert rows(app, FormerEmail) == left
