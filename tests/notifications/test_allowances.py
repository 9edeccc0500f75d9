"""What text messages may cost: segments of one, and of all of a day, by all workers together."""

import logging

import pytest
from sqlalchemy import select

from delivery.database import db, transaction
from delivery.notifications import jobs as drains
from delivery.notifications.allowances import TextSpending
from delivery.notifications.channels import Failure, Letter
from delivery.notifications.registry import each
from delivery.notifications.services import resend
from delivery.notifications.states import Channel
from delivery.ops import checks
from tests.notifications.conftest import ONCE, on_sqlite
from tests.web.racing import race

NUMBER = "+447700900123"


@pytest.fixture
def app(make_app):
    return make_app(SMS_DAILY_CAP=5)


@pytest.fixture
def outbox(outbox):
    outbox.composers[ONCE] = each(lambda message: Letter(NUMBER, message.data.get("text", "Your parcel is near.")))
    return outbox


def send(outbox, count=1, text="Your parcel is near."):
    ids = outbox.add_many(count, channel=Channel.SMS, data={"text": text})
    drains.deliver(Channel.SMS, seconds=20)
    return [outbox.row(one) for one in ids]


def spent():
    return [(row.segments, row.refused) for row in db.session.execute(select(TextSpending.__table__))]


def test_a_message_keeps_how_many_segments_it_took(outbox):
    [row] = send(outbox, text="a" * 200)
    assert (row.state, row.segments) == ("sent", 2)
    assert spent() == [(2, 0)]


def test_beyond_the_cap_none_is_sent_until_the_day_is_over(outbox, travel, caplog):
    rows = send(outbox, 7)
    assert sorted(row.state for row in rows) == ["sent"] * 5 + ["suppressed"] * 2
    assert {row.error_class for row in rows if row.state == "suppressed"} == {"daily_cap"}
    assert {row.segments for row in rows if row.state == "suppressed"} == {None}
    assert spent() == [(5, 2)]
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "SMS_DAILY_CAP" in line.getMessage()
    travel(hours=24)
    assert send(outbox)[0].state == "sent"
    assert sorted(spent()) == [(1, 0), (5, 2)]


def test_what_has_room_for_fewer_segments_still_goes(outbox):
    assert send(outbox, text="a" * 400)[0].state == "sent"
    assert send(outbox, text="a" * 400)[0].state == "suppressed"
    assert send(outbox, text="a" * 200)[0].state == "sent"
    assert spent() == [(5, 1)]


def test_it_costs_once_however_often_it_is_tried_and_again_when_a_person_sends_it_again(outbox, travel):
    outbox.sms.failures.extend([Failure("later", ""), Failure("never", "", permanent=True)])
    [row] = send(outbox)
    travel(minutes=1)
    drains.deliver(Channel.SMS, seconds=20)
    assert (outbox.row(row.id).state, spent()) == ("failed", [(1, 0)])
    with transaction():
        resend([row.id])
    drains.deliver(Channel.SMS, seconds=20)
    assert (outbox.row(row.id).state, spent()) == ("sent", [(2, 0)])


def test_workers_at_once_spend_no_more_than_the_cap(app, outbox, monkeypatch):
    monkeypatch.setattr(drains, "BATCH_SIZE", 2)
    outbox.add_many(12, channel=Channel.SMS)

    def work():
        with app.app_context():
            drains.deliver(Channel.SMS, seconds=20)

    race(work, work, work)
    assert (outbox.states().count("sent"), outbox.states().count("suppressed")) == (5, 7)
    assert spent() == [(5, 7)]


def test_what_is_too_long_is_not_cut_but_fails(outbox):
    [row] = send(outbox, text="ç" * 202)
    assert (row.state, row.error_class, row.attempts) == ("failed", "too_long", 0)
    assert outbox.sms.sent == []
    assert spent() == []


@on_sqlite
def test_doctor_tells_what_was_spent_and_what_was_kept_back(make_app):
    app = make_app(SMS_DAILY_CAP=1, SMS_PROVIDER="sns", SMS_API_KEY="k", SMS_API_SECRET="s")
    with app.app_context():
        assert "0 of 1 segments" in checks.sms().detail
        with transaction() as session:
            session.add(TextSpending(day=checks.clock.now().date(), segments=1, refused=3))
        finding = checks.sms()
    assert (finding.level, "3 kept back" in finding.detail) == (checks.Level.FAIL, True)
