"""The drain: everything due is sent once, and no failure of one message is paid for by another."""

import pytest
from sqlalchemy.exc import OperationalError

from delivery import jobs
from delivery.notifications import alarm, attempts, claims
from delivery.notifications import jobs as drains
from delivery.notifications.channels import Failure, Letter, Suppress, Unknown, Unreachable
from delivery.notifications.registry import each
from delivery.notifications.states import Channel
from tests.notifications.conftest import REPEATABLE, new_message, on_postgresql


def deliver(channel="mail", seconds=20):
    return drains.deliver(channel, seconds=seconds)


@pytest.fixture
def wakes(monkeypatch):
    """The channels that were woken from now on."""
    woken = []
    monkeypatch.setattr(alarm, "wake", woken.append)
    return woken


def test_all_that_is_due_is_sent_once(outbox, monkeypatch):
    monkeypatch.setattr(drains, "BATCH_SIZE", 10)
    ids = outbox.add_many(35)
    assert deliver() is False
    assert sorted(identity for identity, _ in outbox.mail.sent) == ids
    assert set(outbox.states()) == {"sent"}
    assert deliver() is False
    assert len(outbox.mail.sent) == 35


def test_a_lane_is_emptied_in_order(outbox, delivery_id):
    for seq in (3, 2, 1):
        outbox.add(new_message(delivery_id=delivery_id, recipient_id=delivery_id, seq=seq))
    deliver()
    seqs = [outbox.row(identity).seq for identity, _ in outbox.mail.sent]
    assert seqs == [1, 2, 3]


def test_the_reference_and_the_provider_are_kept(outbox):
    [identity] = outbox.add_many(1, channel=Channel.SMS)
    deliver("sms")
    row = outbox.row(identity)
    assert (row.state, row.provider, row.provider_ref, row.attempts) == ("sent", "memory", "memory-1", 1)


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (Failure("smtp_451", "later"), "pending"),
        (Failure("smtp_550", "never", permanent=True), "failed"),
        (Unknown("smtp_no_answer", "?"), "uncertain"),
    ],
)
def test_a_failure_is_its_messages_own(outbox, failure, state):
    ids = outbox.add_many(3)
    outbox.mail.failures.extend([None, failure])
    deliver()
    assert outbox.states() == ["sent", state, "sent"]
    assert outbox.row(ids[1]).error_class == failure.error_class


def test_what_may_be_sent_twice_is_sent_again_after_no_answer(outbox):
    [identity] = outbox.add_many(1, template=REPEATABLE)
    outbox.mail.failures.append(Unknown("smtp_no_answer", "?"))
    deliver()
    assert (outbox.row(identity).state, outbox.attempts(identity)[0].outcome) == ("pending", "uncertain")


def test_a_provider_that_is_down_costs_one_message_one_attempt(outbox):
    ids = outbox.add_many(15)
    outbox.mail.refusals.append(Unreachable("smtp_unreachable", "no route"))
    assert deliver() is False
    rows = [outbox.row(identity) for identity in ids]
    assert {row.state for row in rows} == {"pending"}
    assert sorted(row.attempts for row in rows) == [0] * 14 + [1]
    assert claims.due_channels() == [], "the others wait as well"


def test_a_provider_that_goes_down_midway_costs_one_message_one_attempt(outbox, travel):
    outbox.add_many(15)
    outbox.mail.failures.extend([None, None, Unreachable("smtp_421", "busy", retry_after_seconds=90)])
    assert deliver() is False
    assert sorted(outbox.states()) == ["pending"] * 13 + ["sent"] * 2
    assert sorted(row.attempts for row in outbox.rows()) == [0] * 12 + [1] * 3
    travel(seconds=80)
    assert claims.due_channels() == []
    travel(seconds=15)
    deliver()
    assert set(outbox.states()) == {"sent"}
    assert len(outbox.mail.sent) == 15


def test_a_message_without_words_fails_alone(outbox):
    def broken(_message):
        raise KeyError("window")

    outbox.composers |= {"broken": each(broken), "quiet": each(lambda _: Suppress("no_address"))}
    for template in ("unheard_of", "broken", "quiet", "created"):
        outbox.add(new_message(template=template))
    deliver()
    assert [(row.state, row.error_class) for row in outbox.rows()] == [
        ("failed", "composer_failed"),
        ("failed", "composer_failed"),
        ("suppressed", "no_address"),
        ("sent", None),
    ]
    assert [row.attempts for row in outbox.rows()] == [0, 0, 0, 1]


def test_a_database_that_is_gone_while_words_are_found_fails_nothing(outbox):
    def no_database(_message):
        raise OperationalError("SELECT", {}, Exception("gone"))

    outbox.composers["created"] = each(no_database)
    outbox.add_many(3)
    with pytest.raises(OperationalError):
        deliver()
    assert [(row.state, row.attempts) for row in outbox.rows()] == [("pending", 0)] * 3


def test_what_was_sent_is_remembered_through_an_outage_of_the_database(outbox, monkeypatch):
    outbox.add_many(3)
    real, outages = attempts.settle, [1, 2]

    def flaky(results):
        if outages and results:
            outages.pop()
            raise OperationalError("UPDATE", {}, Exception("gone"))
        return real(results)

    monkeypatch.setattr(attempts, "settle", flaky)
    monkeypatch.setattr(drains, "pause", lambda _: None)
    with pytest.raises(OperationalError):
        deliver()
    assert outbox.states() == ["sent"] * 3
    assert outages == []


def test_what_a_provider_says_can_be_kept_whatever_it_is(outbox):
    ids = outbox.add_many(3)
    outbox.mail.failures.extend([None, Failure("smtp_550", "no\x00such user", permanent=True)])
    real = outbox.mail.send
    outbox.mail.send = lambda *given: f"250 \x00{real(*given)}"
    deliver()
    assert outbox.states() == ["sent", "failed", "sent"]
    assert outbox.row(ids[0]).provider_ref == "250  memory-1"
    assert outbox.row(ids[1]).error == "no such user"


def refused_by_the_database():
    failure = Failure("smtp_550", "no", permanent=True)
    failure.error_class = "x" * 41
    return failure


@on_postgresql
def test_an_outcome_that_the_database_refuses_is_lost_alone(outbox):
    outbox.add_many(4)
    outbox.mail.failures.extend([None, refused_by_the_database()])
    deliver()
    assert outbox.states() == ["sent", "sending", "sent", "sent"]


@on_postgresql
def test_an_outcome_that_the_database_refuses_in_mid_batch_is_lost_alone(outbox):
    outbox.mail.hand_off_size = 2
    outbox.add_many(4)
    outbox.mail.failures.extend([None, refused_by_the_database()])
    deliver()
    assert outbox.states() == ["sent", "sending", "sent", "sent"]


def test_a_channel_that_breaks_leaves_an_uncertain_message_and_goes_on(outbox):
    outbox.add_many(2)
    outbox.mail.failures.append(ZeroDivisionError())
    deliver()
    assert sorted(outbox.states()) == ["sent", "uncertain"]


def test_asked_to_stop_it_finishes_the_letter_in_hand_and_gives_the_rest_back(outbox):
    def stop_at_the_third(message_id, letter):
        if len(outbox.mail.sent) == 2:
            jobs.request_stop()
        return type(outbox.mail).send(outbox.mail, message_id, letter)

    outbox.mail.send = stop_at_the_third
    outbox.add_many(25)
    assert deliver() is True
    assert sorted(outbox.states()) == ["pending"] * 22 + ["sent"] * 3
    assert sum(row.attempts for row in outbox.rows()) == 3
    assert len(claims.due_channels()) == 1


def test_when_time_is_up_a_successor_is_woken(outbox, wakes, monkeypatch):
    monkeypatch.setattr(drains, "DRAIN_SECONDS", -1)
    outbox.add_many(3)
    wakes.clear()
    drains.drain("mail")
    assert wakes == ["mail"]
    assert outbox.states() == ["pending"] * 3


def test_a_full_batch_wakes_another_worker_at_once(outbox, wakes, monkeypatch):
    monkeypatch.setattr(drains, "BATCH_SIZE", 5)
    outbox.add_many(12)
    wakes.clear()
    drains.drain("mail")
    assert wakes == ["mail", "mail"]


def test_a_commit_after_the_last_claim_wakes_again(outbox, redis_server):
    """The key goes before the first claim: what is committed during a drain must find it gone."""
    with redis_server.client() as client:
        outbox.add_many(1)
        assert client.exists("delivery:wake:mail")
        seen = []
        outbox.composers["created"] = each(
            lambda _: seen.append(client.exists("delivery:wake:mail")) or Letter("a@b.example", "")
        )
        drains.drain("mail")
        assert seen == [0]


def test_no_letter_leaves_with_a_lease_about_to_end(outbox, monkeypatch):
    monkeypatch.setattr(drains, "LEASE_MARGIN_SECONDS", 61)
    outbox.mail.hand_off_size = 1
    ids = outbox.add_many(3)
    deliver()
    assert outbox.mail.sent == []
    assert [(row.state, row.attempts) for row in outbox.rows()] == [("pending", 0)] * 3
    assert {attempt.outcome for identity in ids for attempt in outbox.attempts(identity)} == {"released"}


def test_text_messages_are_handed_off_one_by_one(outbox):
    on_record = []

    def send(message_id, letter):
        on_record.append(sum(row.handoff_at is not None for row in outbox.rows()))
        return type(outbox.sms).send(outbox.sms, message_id, letter)

    outbox.sms.send = send
    outbox.add_many(3, channel=Channel.SMS)
    deliver("sms")
    assert on_record == [1, 1, 1]


def test_an_unknown_channel_is_an_error(outbox):
    with pytest.raises(ValueError, match="fax"):
        deliver("fax")


def test_every_outcome_leaves_a_line(outbox, caplog):
    """Also one that came about without a send: a server that is down would otherwise be silence."""
    outbox.add_many(1)
    outbox.mail.refusals.append(Unreachable("smtp_unreachable", "no route"))
    with caplog.at_level("INFO"):
        deliver()
        lines = [record for record in caplog.records if record.msg == "message %s"]
    assert [(str(line.args[0]), line.error_class) for line in lines] == [("temporary", "smtp_unreachable")]
