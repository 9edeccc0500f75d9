"""What registering makes us send to an address that may be anybody's: little, and nothing that a stranger typed."""

import pytest
from sqlalchemy import select, update

from delivery.database import db, transaction
from delivery.notifications.models import OutboxMessage
from delivery.notifications.services import resend
from delivery.notifications.states import MessageState
from tests.auth.links import PASSWORD, register
from tests.web.elsewhere import elsewhere

ADDRESS, LURE = "ada@shop.example", "You won, see http://evil.example"


def register_from_afar(client, email=ADDRESS, **more):
    body = {"name": "Eve", "email": email, "password": PASSWORD, **more}
    response = client.post("/api/users", json=body, **elsewhere())
    assert response.status_code == 202, response.text
    return {**response.json}


def messages(app):
    with app.app_context():
        rows = db.session.execute(select(OutboxMessage).order_by(OutboxMessage.id)).scalars().all()
        return [(row.template, row.state, row.error_class) for row in rows]


def test_from_however_many_places_three_mails_in_six_hours_go_to_one_account(app, client, mailbox, travel):
    answers = [register_from_afar(client) for _ in range(8)]
    assert answers == 8 * [answers[0]]
    assert [letter.address for letter in mailbox()] == 3 * [ADDRESS]
    assert sorted(state for _, state, _ in messages(app)) == 3 * ["sent"] + 5 * ["suppressed"]
    assert {error for _, state, error in messages(app) if state == "suppressed"} == {"too_many_mails"}
    register_from_afar(client, "bob@shop.example")
    assert [letter.address for letter in mailbox()] == ["bob@shop.example"], "each account has its own"
    travel(hours=6, seconds=1)
    register_from_afar(client)
    assert len(mailbox()) == 1


def test_links_to_confirm_an_address_count_with_them(app, client, mailbox):
    for _ in range(3):
        register_from_afar(client)
    assert len(mailbox()) == 3
    answer = client.post("/api/auth/request-verification", json={"email": ADDRESS}, **elsewhere())
    assert answer.status_code == 202
    assert mailbox() == []
    assert messages(app)[-1] == ("verify_email", "suppressed", "too_many_mails")


def test_other_mails_to_the_account_go_on(client, mailbox):
    for _ in range(4):
        register_from_afar(client)
    mailbox()
    client.post("/api/auth/request-password-reset", json={"email": ADDRESS})
    assert [letter.subject for letter in mailbox()] == ["Choose a new password"]


def test_a_mail_that_is_sent_again_counts_once(app, client, mailbox):
    register(client, ADDRESS)
    for _ in range(4):
        assert len(mailbox()) == 1
        with app.app_context(), transaction() as session:
            session.execute(update(OutboxMessage).values(state=MessageState.FAILED))
            resend(list(session.execute(select(OutboxMessage.id)).scalars()))
    assert len(mailbox()) == 1


@pytest.mark.parametrize("verified", [False, True])
def test_nobody_who_has_not_confirmed_an_address_is_greeted_by_a_name(app, client, people, mailbox, verified):
    if verified:
        people.customer(email=ADDRESS, name="Ada")
    else:
        register_from_afar(client, name=LURE)
    register_from_afar(client, name=LURE)
    *first, second = mailbox()
    assert second.subject == "You already have an account"
    for letter in (*first, second):
        assert "evil" not in letter.text + letter.html
        assert ("Hello Ada," if verified else "Hello,\n") in letter.text
    assert verified is (not first)
