"""Messages about test deliveries are written, shown in words, and sent by nothing and nobody."""

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from delivery import notifications
from delivery.database import db, transaction
from delivery.notifications import stats
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.jobs import deliver
from delivery.notifications.models import OutboxMessage
from delivery.notifications.opt_outs import opt_out
from delivery.notifications.states import Channel
from delivery.notifications.unsubscribing import SAMPLE
from delivery.subscriptions import COMPOSERS
from tests.auth.keys import sandbox_of
from tests.commands import run
from tests.sandbox.testing import advance
from tests.web.answers import problem, wrong

MESSAGES = "/api/sandbox/messages"


@pytest.fixture
def sent(app):
    """What goes out by mail and text message; call it to send all that waits."""
    transports = {channel: MemoryTransport() for channel in Channel}

    def drain():
        with app.app_context():
            for channel in (Channel.MAIL, Channel.SMS):
                deliver(channel, seconds=5)
        return [letter.address for transport in transports.values() for _, letter in transport.sent]

    with app.app_context():
        notifications.init_app(app, COMPOSERS, transports=transports)
        yield drain


@pytest.fixture
def key(api):
    return sandbox_of(api)


def shown(key, **filters):
    response = key.get(MESSAGES, query_string={"limit": 100, **filters})
    assert response.status_code == 200, response.text
    return response.json["items"]


def rows(app):
    with app.app_context(), db.engine.connect() as connection:
        return connection.execute(select(OutboxMessage.__table__).where(OutboxMessage.delivery_id.is_not(None))).all()


def test_nothing_is_sent_and_all_is_shown(app, api, key, sent):
    delivery = key.create()
    advance(key, delivery, scenario="failed_then_delivered", to_end=True)
    api.create(recipient={"name": "Real Reader", "email": "real@home.example"})

    went_out = sent()
    assert "real@home.example" in went_out
    assert "grace@home.example" not in went_out
    assert "+442079460000" not in went_out
    captured = shown(key, delivery_id=delivery["id"])
    told = {(one["event"], one["audience"], one["channel"]) for one in captured}
    assert {
        ("created", "recipient", "mail"), ("out_for_delivery", "recipient", "sms"),
        ("attempt_failed", "recipient", "mail"), ("delivered", "sender", "mail"),
    } <= told  # fmt: skip
    assert [one["seq"] for one in captured] == sorted((one["seq"] for one in captured), reverse=True)
    assert {one["would_be_sent"] for one in captured} == {True}


def test_a_message_is_shown_as_its_reader_would_get_it(key):
    delivery = key.create(item_name="Blue bicycle")
    mail = next(one for one in shown(key, channel="mail") if one["audience"] == "recipient")
    assert mail["to"] == "grace@home.example"
    assert "Blue bicycle" in mail["text"]
    assert "Blue bicycle" in mail["html"]
    assert mail["subject"]
    assert mail["headers"]["X-Delivery-Number"] == delivery["tracking_number"]
    advance(key, delivery, steps=3)
    [text_message] = shown(key, channel="sms")
    assert text_message["to"] == "+442079460000"
    assert text_message["text"]
    assert (text_message["subject"], text_message["html"], text_message["headers"]) == (None, None, {})


def test_no_link_in_it_speaks_for_its_reader(client, key):
    """Whoever writes a stranger's address into a test must not get the stranger's own link."""
    key.create()
    for mail in shown(key, audience="recipient"):
        assert mail["headers"]["List-Unsubscribe"] == f"<{SAMPLE}>"
        links = [word for word in mail["text"].split() if "/unsubscribe/" in word]
        assert links == [SAMPLE]
    problem(client.post("/unsubscribe/c2FtcGxl", json={"List-Unsubscribe": "One-Click"}), 400)


def test_what_a_stranger_wants_is_not_told(app, key):
    with app.app_context(), transaction():
        opt_out("mail", "grace@home.example", "test")
    key.create()
    [mail] = shown(key, audience="recipient", channel="mail")
    assert mail["would_be_sent"]


def test_what_would_not_be_sent_says_why(key):
    delivery = key.create(notifications={"sender": {"mail": False}})
    [mail] = shown(key, audience="sender")
    assert mail["would_be_sent"] is False
    assert mail["reason"] == "whoever made the delivery switched it off."
    assert (mail["to"], mail["text"]) == (None, None)
    key.delete(f"/api/deliveries/{delivery['id']}", headers={"If-Match": "*"})
    assert {one["reason"] for one in shown(key)} == {"its delivery was deleted."}


def test_no_command_and_no_call_sends_one(app, api, key, sent):
    key.create()
    before = rows(app)
    assert {(row.state, row.error_class, row.test) for row in before} == {("suppressed", "captured", True)}
    ids = [str(row.id) for row in before]
    for identity in ids:
        problem(key.post(f"/api/notifications/{identity}/resend"), 409, "not_resendable")
    for words in (
        ("notifications", "resend", *ids),
        ("notifications", "resend", "--since", "1h", "--yes"),
        ("notifications", "resend", "--since", "1h", "--state", "suppressed", "--yes"),
        ("notifications", "hold", "--reason", "a test"),
        ("notifications", "release", "--keep-back"),
    ):
        assert run(app, *words).exit_code in {0, 1}, words
    assert [address for address in sent() if address == "grace@home.example"] == []
    assert [(row.id, row.state, row.attempts) for row in rows(app)] == [
        (row.id, row.state, row.attempts) for row in before
    ]
    with app.app_context():
        assert [one for one in stats.waiting() if one.count] == []
        assert stats.overdue_seconds() == dict.fromkeys(Channel, 0.0)


@pytest.mark.parametrize("state", ["pending", "dead", "sent"])
def test_the_database_keeps_none_that_could_be_sent(app, key, state):
    key.create()
    settled = "settled_at = NULL" if state == "pending" else "settled_at = created_at"
    change = text(f"UPDATE outbox_messages SET state = '{state}', {settled} WHERE test")
    with pytest.raises(IntegrityError, match="captured"), app.app_context(), transaction() as session:
        session.execute(change)


def test_each_sees_what_is_theirs(people, api, key):
    key.create()
    assert shown(sandbox_of(people.customer())) == []
    everything = shown(key)
    for one in (sandbox_of(people.dispatcher()), sandbox_of(people.admin())):
        assert shown(one) == everything != []
    problem(sandbox_of(people.courier()).get(MESSAGES), 403, "forbidden")
    assert {one["audience"] for one in api.get("/api/notifications").json["items"]} <= {"account"}
    captured = key.get("/api/notifications").json["items"]
    problem(api.get(f"/api/notifications/{captured[0]['id']}"), 404, "not_found")
    states = {(one["state"], one["reason"]) for one in captured}
    assert states == {
        ("suppressed", "Not sent on purpose: it is about a test delivery, and GET /api/sandbox/messages shows it.")
    }


def test_pages_follow_each_other_and_cost_the_same_for_many(key, count_statements):
    with count_statements() as for_one:
        key.get(MESSAGES)
    delivery = key.create()
    advance(key, delivery, to_end=True)
    with count_statements() as for_many:
        everything = shown(key)
    assert len(for_many) <= len(for_one) + 2
    seen, cursor = [], None
    while True:
        page = key.get(MESSAGES, query_string={"limit": 2, **({"cursor": cursor} if cursor else {})}).json
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == everything
    assert wrong(key.get(f"{MESSAGES}?channel=webhook")).keys() == {"/channel"}
