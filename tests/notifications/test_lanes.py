"""Lanes: in order, but nothing that is stale stands in the way of news."""

import uuid
from datetime import timedelta

import pytest

from delivery.database import transaction
from delivery.notifications import attempts, claims, lanes
from delivery.notifications import jobs as drains
from delivery.notifications.channels import Defer, Failure, Letter
from delivery.notifications.held import Result
from delivery.notifications.registry import each
from delivery.notifications.states import HOLD_SECONDS, SMS_LIFE_SECONDS, STALE_SECONDS, Channel, Outcome
from tests.notifications.conftest import ONCE, REPEATABLE, WEBHOOK, new_message


def claim(channel="mail", limit=100):
    with transaction():
        return claims.claim(channel, limit=limit)


def fail(message):
    with transaction():
        [held] = attempts.hand_off([message], provider="memory")
        attempts.settle([Result(held, Outcome.TEMPORARY, error_class="smtp_451")])


@pytest.fixture
def news(outbox, delivery_id):
    """Add the event with this number as a message, and return its id."""

    def add(seq, **fields):
        lane = {"delivery_id": delivery_id, "recipient_id": delivery_id}
        return outbox.add(new_message(seq=seq, **{**lane, **fields}))[0]

    return add


def test_what_failed_twice_is_superseded_by_newer_news(outbox, news, travel):
    old = news(1)
    for _ in range(2):
        fail(claim()[0])
        travel(seconds=40)
    assert (outbox.row(old).state, outbox.row(old).attempts) == ("pending", 2)
    new = news(2)
    assert [message.id for message in claim()] == [new]
    row = outbox.row(old)
    assert (row.state, row.error_class, row.settled_at is not None) == ("superseded", "superseded", True)


def test_what_failed_once_still_comes_first(outbox, news):
    old = news(1)
    fail(claim()[0])
    news(2)
    assert claim() == []
    assert outbox.row(old).state == "pending"


def test_after_an_outage_only_the_newest_news_is_told(outbox, news, travel):
    ids = [news(seq) for seq in (1, 2, 3)]
    travel(seconds=STALE_SECONDS + 1)
    assert [message.id for message in claim()] == ids[-1:]
    assert outbox.states() == ["superseded", "superseded", "sending"]


def test_old_news_without_newer_is_told(outbox, news, travel):
    identity = news(1)
    travel(seconds=STALE_SECONDS + 1)
    assert [message.id for message in claim()] == [identity]


def test_old_news_of_another_delivery_supersedes_nothing(outbox, news, travel):
    news(1)
    outbox.add(new_message())
    travel(seconds=STALE_SECONDS + 1)
    assert len(claim()) == 2


def test_news_in_a_workers_hands_is_not_passed(outbox, news, travel):
    news(1)
    travel(seconds=STALE_SECONDS + 1)
    assert len(claim()) == 1
    news(2)
    assert claim() == []


def test_what_another_worker_takes_at_that_moment_is_not_passed_after_all(outbox, news, travel, monkeypatch):
    """Between the claim and the look at the lane the older message got into somebody's hands."""
    old = news(1)
    for _ in range(2):
        fail(claim()[0])
        travel(seconds=40)
    new = news(2)
    monkeypatch.setattr(lanes, "_supersede", lambda _: set())
    assert claim() == []
    assert (outbox.row(old).state, outbox.row(new).state) == ("pending", "pending")


def test_what_a_dead_worker_may_have_sent_is_uncertain_rather_than_superseded(outbox, news, travel):
    old = news(1)
    with transaction():
        attempts.hand_off(claims.claim("mail", limit=1), provider="memory")
    new = news(2)
    travel(seconds=STALE_SECONDS + 1)
    drains.deliver("mail", seconds=5)
    assert (outbox.row(old).state, outbox.row(new).state) == ("uncertain", "sent")


def test_quiet_hours_put_a_message_off_and_newer_news_supersedes_it(outbox, news, travel):
    until = outbox.row(news(1)).created_at.replace(microsecond=0)
    until = until.replace(year=until.year + 1)
    outbox.composers[ONCE] = each(lambda _: Defer("quiet_hours", until))
    drains.deliver("mail", seconds=5)
    [row] = outbox.rows()
    assert (row.state, row.error_class, row.next_at, row.attempts) == ("pending", "quiet_hours", until, 0)
    outbox.composers[ONCE] = each(lambda message: Letter("grace@home.example", message.event))
    new = news(2)
    drains.deliver("mail", seconds=5)
    assert (outbox.states(), outbox.mail.sent[0][0]) == (["superseded", "sent"], new)


def test_a_message_that_was_put_off_lives_as_long_from_then_on(outbox):
    [identity] = outbox.add_many(1, channel=Channel.SMS)
    until = outbox.row(identity).expires_at + timedelta(hours=5)
    outbox.composers[ONCE] = each(lambda _: Defer("quiet_hours", until))
    drains.deliver("sms", seconds=5)
    row = outbox.row(identity)
    assert (row.state, row.error_class, row.next_at) == ("pending", "quiet_hours", until)
    assert row.expires_at == until + timedelta(seconds=SMS_LIFE_SECONDS)


def test_mails_about_an_account_pass_each_other_but_supersede_nothing(outbox):
    person = uuid.uuid4()
    first, second = (outbox.add(new_message(recipient_id=person, template=REPEATABLE))[0] for _ in range(2))
    fail(claim()[0])
    assert [message.id for message in claim()] == [second]
    assert outbox.row(first).state == "pending"


def test_a_failing_webhook_holds_its_lane_for_ten_minutes_and_is_never_superseded(outbox, news, travel):
    hook = {"channel": Channel.WEBHOOK, "template": WEBHOOK, "recipient_id": uuid.uuid4()}
    first, second = news(1, **hook), news(2, **hook)
    outbox.webhook.failures.append(Failure("http_500", "no"))
    drains.deliver("webhook", seconds=5)
    assert (outbox.row(first).state, outbox.row(second).attempts) == ("pending", 0)
    outbox.webhook.failures.extend([Failure("http_500", "no")])
    travel(seconds=HOLD_SECONDS - 5)
    drains.deliver("webhook", seconds=5)
    assert (outbox.row(first).attempts, outbox.row(second).state) == (2, "pending")
    travel(seconds=10)
    drains.deliver("webhook", seconds=5)
    assert (outbox.row(first).state, outbox.row(second).state) == ("pending", "sent")
