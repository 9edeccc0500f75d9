"""A message is written with the change that it tells of, or not at all."""

import time
from datetime import UTC, datetime

import pytest
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy.exc import IntegrityError

from delivery import clock, logs
from delivery.database import new_id, transaction
from delivery.notifications import alarm
from delivery.notifications.services import NewMessage, add
from delivery.notifications.states import SMS_LIFE_SECONDS, Channel
from tests.notifications.conftest import new_message


@pytest.fixture
def queue(redis_server):
    with redis_server.client() as client:
        yield Queue("mail", connection=client, serializer=JSONSerializer)


def test_a_message_is_on_record_and_somebody_is_woken(outbox, queue):
    [identity] = outbox.add(new_message(data={"why": "test"}))
    row = outbox.row(identity)
    assert (row.state, row.attempts, row.data, row.lease_token) == ("pending", 0, {"why": "test"}, None)
    assert row.lane == f"mail:{row.recipient_id}:"
    assert [job.args for job in queue.jobs] == [["mail"]]


def add_and_fail():
    add([new_message()])
    raise ZeroDivisionError


def test_a_change_that_is_rolled_back_tells_nobody(outbox, queue):
    with pytest.raises(ZeroDivisionError), transaction():
        add_and_fail()
    assert outbox.rows() == []
    assert queue.count == 0


def test_nobody_is_woken_before_the_commit(outbox, queue):
    with transaction():
        add([new_message()])
        assert queue.count == 0
    assert queue.count == 1


def test_many_messages_are_one_statement_and_one_wake(outbox, count_statements, queue):
    with count_statements() as statements, transaction():
        add([new_message() for _ in range(50)])
    assert [statement.split()[0] for statement in statements if not statement.startswith("BEGIN")] == ["INSERT"]
    assert (len(outbox.rows()), queue.count) == (50, 1)


def test_nothing_to_tell_is_nothing_written(outbox, queue):
    assert outbox.add() == []
    assert queue.count == 0


def test_wakes_are_coalesced_until_a_drain_begins(outbox, queue):
    for _ in range(3):
        outbox.add(new_message())
    assert queue.count == 1
    alarm.answer("mail")
    outbox.add(new_message())
    assert queue.count == 2


def test_each_channel_is_woken_for_itself(outbox, redis_server, queue):
    outbox.add(new_message(), new_message(channel=Channel.SMS))
    with redis_server.client() as client:
        assert (queue.count, Queue("sms", connection=client).count) == (1, 1)


def test_a_job_carries_no_more_than_the_channel(outbox, queue):
    outbox.add(new_message())
    [job] = queue.jobs
    assert (job.func_name, job.args, job.kwargs) == ("delivery.notifications.jobs.drain", ["mail"], {})
    assert (job.timeout, job.result_ttl, job.retries_left) == (-1, 0, None)


def test_a_text_message_is_too_late_after_two_hours(outbox):
    mail, sms = outbox.add(new_message(), new_message(channel=Channel.SMS))
    assert outbox.row(mail).expires_at is None
    row = outbox.row(sms)
    assert (row.expires_at - row.created_at).total_seconds() == pytest.approx(SMS_LIFE_SECONDS, abs=5)


def test_the_database_alone_knows_when_it_is_too_late(outbox, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: datetime(2001, 1, 1, tzinfo=UTC))
    [identity] = outbox.add(new_message(channel=Channel.SMS))
    row = outbox.row(identity)
    assert (row.expires_at - row.created_at).total_seconds() == pytest.approx(SMS_LIFE_SECONDS, abs=0.01)


def test_a_message_knows_the_request_that_caused_it(outbox):
    with logs.bound(request_id="req-1"):
        [identity] = outbox.add(new_message())
    assert outbox.row(identity).request_id == "req-1"


@pytest.mark.parametrize("outage", ["kill", "freeze"])
def test_with_redis_down_a_commit_takes_hardly_longer(outbox, redis_server, outage):
    getattr(redis_server, outage)()
    began = time.monotonic()
    outbox.add(new_message())
    assert time.monotonic() - began < 0.7
    began = time.monotonic()
    outbox.add(new_message())
    assert time.monotonic() - began < 0.2, "it was down a moment ago: nobody waits again"
    assert outbox.states() == ["pending", "pending"]


def test_the_same_event_is_told_once(outbox, delivery_id):
    told = new_message(delivery_id=delivery_id, seq=1, recipient_id=delivery_id)
    outbox.add(told)
    with pytest.raises(IntegrityError):
        outbox.add(told)


def test_mail_about_an_address_is_of_use_for_a_day(outbox):
    with outbox.app.app_context(), transaction():
        add([NewMessage(channel=Channel.MAIL, audience="account", recipient_id=new_id(), template=template, event="x")
             for template in ("verify_email", "created")])  # fmt: skip
    by_template = {row.template: row for row in outbox.rows()}
    expiring = by_template["verify_email"]
    assert (expiring.expires_at - expiring.created_at).total_seconds() == pytest.approx(24 * 3600, abs=1)
    assert by_template["created"].expires_at is None
