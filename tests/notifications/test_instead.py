"""A mail says what a text message could not, once, to who wants it."""

import pytest
from sqlalchemy import update

from delivery.database import db, transaction
from delivery.notifications import jobs as drains
from delivery.notifications.models import OutboxMessage
from delivery.notifications.services import NewMessage, add, resend
from delivery.notifications.states import Channel
from tests.notifications.conftest import on_sqlite
from tests.notifications.texting import NUMBER

GRACE = {"name": "Grace", "email": "grace@home.example"}


def test_a_text_message_that_failed_becomes_a_mail(texts, smtp):
    texts.twilio.refuse_number()
    identity = texts.send()
    row, [mail] = texts.row(identity), texts.mails()
    assert row.state == "failed"
    same = ("audience", "recipient_id", "delivery_id", "seq", "event", "template")
    assert [getattr(mail, name) for name in same] == [getattr(row, name) for name in same]
    assert (mail.state, mail.data) == ("pending", {"instead_of": str(identity)})


def test_so_it_is_when_it_did_not_arrive_and_it_stays_one_mail(texts):
    identity = texts.send()
    assert texts.mails() == []
    texts.report("undelivered", error_code=30003)
    assert len(texts.mails()) == 1
    with transaction():
        resend([identity])
    texts.twilio.refuse_number()
    texts.deliver()
    assert texts.row(identity).error_class == "twilio_21211"
    assert len(texts.mails()) == 1


def test_who_gets_the_mail_anyway_gets_no_second(texts):
    [identity] = texts.write()
    row = texts.row(identity)
    with transaction():
        names = ("audience", "recipient_id", "delivery_id", "seq", "event", "template")
        add([NewMessage(channel=Channel.MAIL, **{name: getattr(row, name) for name in names})])
    texts.twilio.refuse_number()
    texts.deliver()
    assert [mail.data for mail in texts.mails()] == [{}]
    assert texts.row(identity).state == "failed", "a second would have lost this"


def test_the_sender_gets_one_too(texts):
    [identity] = texts.write(audience="sender")
    texts.deliver()
    assert (texts.row(identity).state, texts.mails()) == ("suppressed", []), "no number, and so nothing to say instead"
    [identity] = texts.write(audience="sender")
    with transaction():
        past = update(OutboxMessage.__table__).where(OutboxMessage.id == identity)
        db.session.execute(past.values(expires_at=OutboxMessage.created_at))
    texts.deliver()
    assert texts.row(identity).state == "dead"
    assert [mail.audience for mail in texts.mails()] == ["sender"]


@on_sqlite
@pytest.mark.parametrize("limit", ["SMS_DAILY_CAP", "SMS_PER_NUMBER_PER_DAY"])
def test_what_was_suppressed_for_its_cost_becomes_a_mail(make_texts, limit):
    texts = make_texts(**{limit: 1})
    texts.write(2)
    texts.deliver()
    assert len(texts.mails()) == 1


@on_sqlite
@pytest.mark.parametrize("reason", ["opted_out", "preference", "no_address", "delivery_deleted"])
def test_what_nobody_wants_is_said_by_no_channel(texts, reason):
    from delivery.notifications import attempts, claims  # noqa: PLC0415
    from delivery.notifications.held import Result  # noqa: PLC0415
    from delivery.notifications.states import Outcome  # noqa: PLC0415

    texts.write()
    with transaction():
        [message] = claims.claim(Channel.SMS, limit=1)
        attempts.settle([Result(message, Outcome.SUPPRESSED, error_class=reason)])
    assert texts.mails() == []


@on_sqlite
def test_who_has_no_mail_address_gets_none(texts):
    texts.twilio.refuse_number()
    texts.send(email=None)
    assert texts.mails() == []


@on_sqlite
def test_an_uncertain_one_may_have_arrived_and_is_not_told_twice(texts):
    texts.twilio.break_after_accept()
    texts.send()
    assert texts.mails() == []


@on_sqlite
def test_it_can_be_switched_off(make_texts):
    texts = make_texts(SMS_FALLBACK_TO_MAIL="false")
    texts.twilio.refuse_number()
    texts.send()
    assert texts.mails() == []


@pytest.mark.parametrize(
    ("wish", "state"), [({"sms": True}, "sent"), ({"sms": True, "mail": False}, "suppressed")], ids=["open", "off"]
)
def test_the_mail_instead_goes_out_unless_somebody_said_that_it_is_off(texts, people, wish, state):
    """A pick-up is told by no mail of itself, and here by a text message."""
    texts.twilio.refuse_number()
    switches = {"events": {"picked_up": {"recipient": wish}}}
    delivery = texts.sender.create(recipient={**GRACE, "phone": NUMBER}, notifications=switches)
    people.dispatcher().move(delivery, "picked_up")
    texts.deliver()
    drains.deliver(Channel.MAIL, seconds=20)
    [mail] = [row for row in texts.mails() if "instead_of" in row.data]
    assert (mail.event, mail.state) == ("picked_up", state)


@on_sqlite
@pytest.mark.parametrize(
    ("channel", "newer", "mails"), [("mail", "delivered", 0), ("sms", "delivered", 0), ("mail", "updated", 1)]
)
def test_old_news_is_not_told_after_newer(texts, channel, newer, mails):
    """But that something was edited makes nothing stale."""
    [identity] = texts.write()
    row = texts.row(identity)
    edit = {"json": {"item_name": "A lamp"}, "headers": {"If-Match": "*"}}
    assert texts.sender.patch(f"/api/deliveries/{row.delivery_id}", **edit).status_code == 200
    same = {name: getattr(row, name) for name in ("audience", "recipient_id", "delivery_id", "owner_id")}
    with transaction():
        add([NewMessage(channel=channel, template=newer, event=newer, seq=2, **same)])
    texts.twilio.refuse_number()
    texts.deliver()
    assert texts.row(identity).state == "failed"
    assert len([mail for mail in texts.mails() if mail.event == row.event]) == mails
