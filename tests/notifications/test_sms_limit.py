"""So many text messages a day for one number: counted once each, by all workers together."""

import json

import pytest
from sqlalchemy import select

from delivery import limits
from delivery.database import db, transaction
from delivery.notifications import jobs as drains
from delivery.notifications.channels import Failure, Letter, Unreachable
from delivery.notifications.registry import each
from delivery.notifications.services import resend
from delivery.notifications.states import Channel
from tests.notifications.conftest import ONCE
from tests.web.racing import race

NUMBER, OTHER = "+447700900123", "+447700900124"


@pytest.fixture
def app(make_app):
    return make_app(SMS_PER_NUMBER_PER_DAY=3)


@pytest.fixture
def outbox(outbox):
    outbox.composers[ONCE] = each(lambda message: Letter(message.data.get("to", NUMBER), "Your parcel is near."))
    return outbox


def write(outbox, count, to=NUMBER):
    return outbox.add_many(count, channel=Channel.SMS, data={"to": to})


def deliver():
    drains.deliver(Channel.SMS, seconds=20)


def counted():
    return db.session.execute(select(limits.Attempt.__table__)).all()


def test_beyond_the_limit_a_message_is_suppressed_and_says_why(outbox, app):
    ids = write(outbox, 4)
    deliver()
    assert sorted(outbox.states()) == ["sent", "sent", "sent", "suppressed"]
    [row] = [outbox.row(one) for one in ids if outbox.row(one).state == "suppressed"]
    assert (row.error_class, row.attempts) == ("sms_limit", 0)
    shown = app.test_cli_runner().invoke(args=["notifications", "show", str(row.id), "--json"])
    assert (json.loads(shown.output)["state"], json.loads(shown.output)["error_class"]) == ("suppressed", "sms_limit")


def test_each_number_has_its_own(outbox):
    write(outbox, 3)
    write(outbox, 3, to=OTHER)
    deliver()
    assert set(outbox.states()) == {"sent"}


def test_there_is_room_again_a_day_later(outbox, travel):
    write(outbox, 3)
    deliver()
    travel(hours=24, seconds=1)
    [one] = write(outbox, 1)
    deliver()
    assert outbox.row(one).state == "sent"


def test_mail_is_not_counted(outbox):
    outbox.add_many(5)
    drains.deliver(Channel.MAIL, seconds=20)
    assert set(outbox.states()) == {"sent"}
    assert counted() == []


def test_a_message_counts_once_however_often_it_is_tried(outbox, travel):
    [one] = write(outbox, 1)
    for failure in (Failure("later", ""), Unreachable("down", ""), Failure("later", "")):
        outbox.sms.failures.append(failure)
        deliver()
        travel(minutes=37)
    assert [row.id for row in counted()] == [one]
    write(outbox, 2, to=NUMBER)
    deliver()
    assert outbox.states() == ["sent", "sent", "sent"]


def test_a_message_that_a_person_sends_again_counts_once(outbox):
    [one] = write(outbox, 1)
    outbox.sms.failures.append(Failure("never", "", permanent=True))
    deliver()
    with transaction():
        resend([one])
    deliver()
    assert outbox.row(one).state == "sent"
    assert len(counted()) == 1


def test_two_workers_at_once_send_no_more_than_the_limit(app, outbox, monkeypatch):
    monkeypatch.setattr(drains, "BATCH_SIZE", 2)
    write(outbox, 12)

    def work():
        with app.app_context():
            deliver()

    race(work, work, work)
    assert (outbox.states().count("sent"), outbox.states().count("suppressed")) == (3, 9)


def test_the_number_is_not_kept(outbox):
    write(outbox, 1)
    deliver()
    [row] = counted()
    assert (row.action, len(row.subject), row.address) == ("text_message", 32, None)
    assert NUMBER.encode() not in bytes(row.subject)
