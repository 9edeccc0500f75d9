"""Sending once more, and cancelling, as a person decides."""

import uuid

import pytest
from sqlalchemy import update

from delivery.audit.queries import entries
from delivery.database import db, transaction
from delivery.notifications import jobs
from delivery.notifications.channels import Failure
from delivery.notifications.models import OutboxMessage
from delivery.notifications.services import resend, withdraw
from delivery.notifications.states import SMS_LIFE_SECONDS, Channel
from tests.notifications.conftest import put


def again(*ids):
    with transaction():
        return resend(ids)


@pytest.mark.parametrize("state", ["failed", "dead", "uncertain"])
def test_what_did_not_arrive_gets_another_attempt_under_its_own_id(outbox, redis_server, state):
    outbox.mail.failures.append(Failure("smtp_550", "no", permanent=True))
    [identity] = outbox.add_many(1)
    jobs.deliver("mail", seconds=20)
    with db.engine.begin() as connection:
        connection.execute(update(OutboxMessage.__table__).values(state=state))
    redis_server.flush()
    assert again(identity) == {identity: identity}
    with redis_server.client() as client:
        assert client.exists("delivery:wake:mail")
    jobs.deliver("mail", seconds=20)
    assert outbox.row(identity).state == "sent"
    assert [(one.n, one.outcome) for one in outbox.attempts(identity)] == [(1, "permanent"), (2, "sent")]
    assert [sent for sent, _ in outbox.mail.sent] == [identity]


def test_a_dead_message_that_fails_again_is_dead_again(outbox):
    identity = put(outbox, "dead")
    with db.engine.begin() as connection:
        connection.execute(update(OutboxMessage.__table__).values(attempts=7))
    again(identity)
    outbox.mail.failures.append(Failure("smtp_451", "later"))
    jobs.deliver("mail", seconds=20)
    assert (outbox.row(identity).state, outbox.row(identity).attempts) == ("dead", 8)


@pytest.mark.parametrize("state", ["sent", "delivered"])
def test_what_arrived_is_sent_as_a_new_message(outbox, delivery_id, state):
    identity = put(outbox, state, delivery_id=delivery_id, seq=1, data={"a": 1})
    new = again(identity)[identity]
    assert new != identity
    first, second = outbox.row(identity), outbox.row(new)
    assert (first.state, second.state, second.resend_of, second.attempts) == (state, "pending", identity, 0)
    for name in ("channel", "recipient_id", "delivery_id", "seq", "audience", "template", "lane", "data"):
        assert getattr(first, name) == getattr(second, name)
    jobs.deliver("mail", seconds=20)
    assert [sent for sent, _ in outbox.mail.sent] == [new]


@pytest.mark.parametrize("state", ["pending", "sending", "suppressed", "superseded", "cancelled"])
def test_what_is_on_its_way_or_was_never_to_be_sent_is_left_alone(outbox, state):
    identity = put(outbox, state)
    before = outbox.row(identity)
    assert again(identity) == {identity: None}
    assert outbox.rows() == [before]


def test_an_unknown_id_is_left_alone(outbox):
    unknown = uuid.uuid4()
    assert again(unknown) == {unknown: None}


def test_two_people_who_resend_at_once_cause_one_attempt(outbox):
    identity = put(outbox, "dead")
    assert again(identity) == {identity: identity}
    assert again(identity) == {identity: None}


def test_a_message_that_was_too_late_gets_its_time_again(outbox, travel):
    identity = put(outbox, "dead", channel=Channel.SMS)
    travel(hours=5)
    again(identity)
    jobs.deliver("sms", seconds=20)
    assert outbox.row(identity).state == "sent"


def test_a_message_gets_the_time_it_had_at_first_however_often_it_is_sent(outbox, travel):
    identity = put(outbox, "dead", channel=Channel.SMS)
    for _ in range(3):
        travel(hours=5)
        again(identity)
        row = outbox.row(identity)
        assert (row.expires_at - row.next_at).total_seconds() == pytest.approx(SMS_LIFE_SECONDS, abs=0.01)
        with db.engine.begin() as connection:
            connection.execute(update(OutboxMessage.__table__).values(state="dead", settled_at=row.next_at))


def test_each_message_that_is_sent_again_stands_in_the_audit_log(outbox):
    dead, sent, pending = put(outbox, "dead"), put(outbox, "sent"), put(outbox, "pending")
    new = again(dead, sent, pending)[sent]
    assert [(one.act, one.object_id, one.details) for one in reversed(entries(before=None, limit=9))] == [
        ("message.resent", dead, {"sent_as": str(dead)}),
        ("message.resent", sent, {"sent_as": str(new)}),
    ]


def test_what_is_withdrawn_waits_no_more_and_is_not_sent(outbox):
    waiting = put(outbox, "pending")
    others = [put(outbox, state) for state in ("sending", "sent", "dead")]
    with transaction():
        assert withdraw([waiting, *others, uuid.uuid4()]) == {waiting}
    row = outbox.row(waiting)
    assert (row.state, row.error_class, row.settled_at is not None) == ("cancelled", "withdrawn", True)
    assert [outbox.row(one).state for one in others] == ["sending", "sent", "dead"]
    assert [(one.act, one.object_id) for one in entries(before=None, limit=9)] == [("message.cancelled", waiting)]
    jobs.deliver("mail", seconds=20)
    assert waiting not in [sent for sent, _ in outbox.mail.sent]
