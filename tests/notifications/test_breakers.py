"""Breakers: who fails ten times in a row is left in peace for a minute, and no message pays for it."""

import threading
import time
import uuid
from collections import Counter

import pytest

from delivery.database import db, transaction
from delivery.notifications import breakers, claims, services
from delivery.notifications import jobs as drains
from delivery.notifications.channels import Failure, Unreachable
from delivery.notifications.models import Breaker
from delivery.notifications.states import BREAKER_FAILURES, BREAKER_SECONDS, ENDPOINT_CONCURRENCY, Channel
from tests.notifications.conftest import WEBHOOK, new_message

DOWN = Failure("smtp_451", "later")


def deliver(channel="mail"):
    return drains.deliver(channel, seconds=5)


def hooks(outbox, endpoint, count=1):
    fields = {"channel": Channel.WEBHOOK, "template": WEBHOOK, "recipient_id": endpoint, "audience": "endpoint"}
    return [outbox.add(new_message(**fields, event=f"e{number}"))[0] for number in range(count)]


@pytest.fixture
def free_lanes(outbox, monkeypatch):
    """Messages to one endpoint about nothing in particular do not wait for each other here."""
    numbers = iter(range(10**6))
    real = services._row
    monkeypatch.setattr(services, "_row", lambda message: real(message) | {"lane": f"lane {next(numbers)}"})


def test_ten_failures_in_a_row_pause_a_provider(outbox, travel):
    outbox.add_many(30)
    outbox.mail.failures.extend([DOWN] * 30)
    deliver()
    spent = sum(row.attempts for row in outbox.rows())
    assert BREAKER_FAILURES <= spent <= BREAKER_FAILURES + outbox.mail.hand_off_size
    assert claims.due_channels() == []
    travel(seconds=BREAKER_SECONDS - 1)
    deliver()
    assert sum(row.attempts for row in outbox.rows()) == spent


def test_when_the_pause_is_over_one_message_is_tried_and_then_the_others(outbox, travel):
    outbox.add_many(30)
    outbox.mail.failures.extend([DOWN] * 40)
    deliver()
    spent = sum(row.attempts for row in outbox.rows())
    travel(seconds=BREAKER_SECONDS + 1)
    deliver()
    assert sum(row.attempts for row in outbox.rows()) == spent + 1
    outbox.mail.failures.clear()
    travel(seconds=2 * BREAKER_SECONDS + 200)
    deliver()
    assert set(outbox.states()) == {"sent"}
    assert db.session.get(Breaker, "mail:memory").failures == 0


def test_a_success_between_failures_counts_from_the_start(outbox):
    outbox.add_many(BREAKER_FAILURES * 2)
    outbox.mail.failures.extend([*[DOWN] * 9, None] * 2)
    deliver()
    assert db.session.get(Breaker, "mail:memory") is None or db.session.get(Breaker, "mail:memory").failures < 10
    assert all(row.attempts for row in outbox.rows())


def test_a_refusal_for_good_shows_that_a_provider_works(outbox):
    outbox.add_many(20)
    outbox.mail.failures.extend([Failure("smtp_550", "no", permanent=True)] * 20)
    deliver()
    assert set(outbox.states()) == {"failed"}


def test_a_provider_that_cannot_be_reached_is_paused_too(outbox, travel):
    outbox.add_many(2)
    for number in range(BREAKER_FAILURES):
        outbox.mail.refusals.append(Unreachable("smtp_unreachable", "no route"))
        travel(seconds=(number + 1) * 24 * 3600)
        deliver()
    assert db.session.get(Breaker, "mail:memory").failures >= 7  # as many as two messages have attempts


@pytest.mark.usefixtures("free_lanes")
def test_a_failing_endpoint_is_paused_alone(outbox, travel):
    bad, good = uuid.uuid4(), uuid.uuid4()
    refused, ids = hooks(outbox, bad, 14), []
    real = outbox.webhook.send

    def send(message_id, letter):
        if message_id in refused:
            raise Failure("http_500", "no")
        return real(message_id, letter)

    outbox.webhook.send = send
    deliver("webhook")
    ids = hooks(outbox, good, 3)
    deliver("webhook")
    assert {outbox.row(identity).state for identity in ids} == {"sent"}
    spent = sum(outbox.row(identity).attempts for identity in refused)
    assert BREAKER_FAILURES <= spent <= BREAKER_FAILURES + ENDPOINT_CONCURRENCY
    assert claims.due_channels() == []
    late = hooks(outbox, bad)
    deliver("webhook")
    assert outbox.row(late[0]).attempts == 0
    assert outbox.row(late[0]).next_at > outbox.row(late[0]).created_at


@pytest.mark.usefixtures("free_lanes")
def test_no_endpoint_gets_more_than_two_at_once_from_all_workers(outbox, app):
    endpoint, lock, now_at, most = uuid.uuid4(), threading.Lock(), Counter(), []
    hooks(outbox, endpoint, 12)

    def send(message_id, letter):
        with lock:
            now_at["here"] += 1
            most.append(now_at["here"])
        time.sleep(0.05)
        with lock:
            now_at["here"] -= 1

    outbox.webhook.send = send

    def work():
        with app.app_context():
            for _ in range(30):
                drains.deliver("webhook", seconds=5)
                time.sleep(0.05)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(most) == 12
    assert max(most) == ENDPOINT_CONCURRENCY


@pytest.mark.usefixtures("free_lanes")
def test_a_slow_endpoint_with_a_long_queue_delays_no_other(outbox):
    slow, quick = uuid.uuid4(), uuid.uuid4()
    waiting = set(hooks(outbox, slow, 60))
    ids = hooks(outbox, quick, 5)
    times, began = {}, time.monotonic()
    real = outbox.webhook.send

    def send(message_id, letter):
        if message_id in waiting:
            time.sleep(0.3)
        times[message_id] = time.monotonic() - began
        return real(message_id, letter)

    outbox.webhook.send = send
    drains.deliver("webhook", seconds=2)
    assert max(times[identity] for identity in ids) < 1.5
    assert {outbox.row(identity).state for identity in ids} == {"sent"}


def test_two_workers_who_count_the_same_failure_lose_none(outbox, app):
    def count():
        with app.app_context(), transaction():
            breakers._add("mail:memory", 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with transaction() as session:
        assert session.get(Breaker, "mail:memory").failures == 8


def test_recipients_who_are_not_wanted_now_say_nothing_against_their_server(outbox):
    """One customer's greylisted recipients must not stop everybody's mail."""
    outbox.add_many(30)
    outbox.mail.failures.extend([Failure("smtp_451", "greylisted", of_recipient=True)] * 25)
    deliver()
    assert outbox.states().count("sent") == 5
    assert all(row.attempts for row in outbox.rows())


def test_what_a_provider_asks_for_delays_others_for_no_longer_than_a_pause(outbox):
    ids = outbox.add_many(3, channel=Channel.SMS)
    outbox.sms.failures.append(Unreachable("twilio_429", "later", retry_after_seconds=10.0**30))
    deliver("sms")
    asked, *others = (outbox.row(identity) for identity in ids)
    assert asked.state == "dead", "it would come too late"
    for row in others:
        assert (row.state, row.attempts) == ("pending", 0)
        assert (row.next_at - row.created_at).total_seconds() < BREAKER_SECONDS + 30
