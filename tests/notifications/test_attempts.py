"""What comes of an attempt: the ladders, their ends, and what is given back."""

import pytest

from delivery.database import transaction
from delivery.notifications import attempts, claims
from delivery.notifications.held import Result
from delivery.notifications.states import LADDERS, SMS_LIFE_SECONDS, Channel, Outcome, after
from tests.notifications.conftest import ONCE, REPEATABLE


def begin(channel="mail"):
    """Claim the one due message and hand it off."""
    with transaction():
        claimed = claims.claim(channel, limit=1)
        [message] = attempts.hand_off(claimed, provider="memory")
    return message


def end(message, outcome, **report):
    with transaction():
        assert attempts.settle([Result(message, outcome, **report)]) == set()


@pytest.mark.parametrize("channel", [Channel.MAIL, Channel.SMS])
def test_each_step_of_the_ladder_is_climbed_with_jitter_and_then_it_is_dead(outbox, travel, channel):
    [identity] = outbox.add_many(1, channel=channel)
    for step in LADDERS[channel][1:]:
        end(begin(channel), Outcome.TEMPORARY, error_class="smtp_451", error="later")
        row = outbox.row(identity)
        assert (row.state, row.error_class, row.handoff_at, row.lease_token) == ("pending", "smtp_451", None, None)
        wait = (row.next_at - outbox.attempts(identity)[-1].ended_at).total_seconds()
        assert step * 0.8 - 1 <= wait <= step * 1.2 + 1
        travel(seconds=step * 1.2 + 2)
    end(begin(channel), Outcome.TEMPORARY, error_class="smtp_451")
    row = outbox.row(identity)
    assert (row.state, row.attempts, row.settled_at is None) == ("dead", len(LADDERS[channel]), False)
    assert [one.outcome for one in outbox.attempts(identity)] == ["temporary"] * len(LADDERS[channel])


def test_waits_are_spread(outbox):
    identities = outbox.add_many(20)
    for _ in identities:
        end(begin(), Outcome.TEMPORARY)
    waits = {row.next_at.replace(microsecond=0) for row in outbox.rows()}
    assert len(waits) > 3


def test_the_provider_says_when_to_come_back(outbox):
    [identity] = outbox.add_many(1)
    end(begin(), Outcome.TEMPORARY, retry_after_seconds=77)
    row = outbox.row(identity)
    assert (row.next_at - outbox.attempts(identity)[0].ended_at).total_seconds() == pytest.approx(77, abs=1)


def test_no_provider_can_put_us_off_for_more_than_a_day(outbox):
    [identity] = outbox.add_many(1)
    end(begin(), Outcome.TEMPORARY, retry_after_seconds=10**9)
    row = outbox.row(identity)
    assert (row.next_at - row.created_at).total_seconds() == pytest.approx(86_400, abs=5)


def test_an_attempt_that_would_come_too_late_is_not_waited_for(outbox, travel):
    [identity] = outbox.add_many(1, channel=Channel.SMS)
    travel(seconds=SMS_LIFE_SECONDS - 20)
    end(begin("sms"), Outcome.TEMPORARY)
    row = outbox.row(identity)
    assert (row.state, row.settled_at is None) == ("dead", False)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.SENT, "sent"),
        (Outcome.PERMANENT, "failed"),
        (Outcome.UNCERTAIN, "uncertain"),
        (Outcome.SUPPRESSED, "suppressed"),
    ],
)
def test_an_end_is_an_end(outbox, outcome, state):
    [identity] = outbox.add_many(1, template=ONCE)
    end(begin(), outcome, provider_ref="ref", error_class="why", error="because")
    row, [attempt] = outbox.row(identity), outbox.attempts(identity)
    assert (row.state, row.provider, row.provider_ref, row.error_class, row.error) == (
        state, "memory", "ref", "why", "because",
    )  # fmt: skip
    assert (row.settled_at is None, row.lease_token, row.handoff_at) == (False, None, None)
    assert (attempt.outcome, attempt.provider, attempt.provider_ref, attempt.ended_at is None) == (
        outcome, "memory", "ref", False,
    )  # fmt: skip


def test_uncertain_is_tried_again_where_twice_does_no_harm():
    given = {"channel": Channel.MAIL, "attempts": 1}
    assert after(Outcome.UNCERTAIN, repeatable=True, **given) == ("pending", 30)
    assert after(Outcome.UNCERTAIN, repeatable=False, **given) == ("uncertain", None)
    assert after(Outcome.UNCERTAIN, channel=Channel.MAIL, attempts=7, repeatable=True) == ("dead", None)


def test_what_is_given_back_has_spent_no_attempt(outbox):
    [begun, waiting] = outbox.add_many(2, template=REPEATABLE)
    with transaction():
        claimed = claims.claim("mail", limit=2)
        [handed] = attempts.hand_off([one for one in claimed if one.id == begun], provider="memory")
        attempts.release([handed, *(one for one in claimed if one.id == waiting)])
    for identity in (begun, waiting):
        row = outbox.row(identity)
        assert (row.state, row.attempts, row.handoff_at, row.lease_token) == ("pending", 0, None, None)
    assert [(one.n, one.outcome) for one in outbox.attempts(begun)] == [(1, "released")]
    assert outbox.attempts(waiting) == []
    with transaction():
        again = claims.claim("mail", limit=2)
        attempts.hand_off(again, provider="memory")
    assert outbox.row(begun).attempts == 1
    assert [one.n for one in outbox.attempts(begun)] == [1, 2]


def test_what_is_given_back_can_be_told_to_wait(outbox):
    [identity] = outbox.add_many(1)
    with transaction():
        attempts.release(claims.claim("mail", limit=1), wait_seconds=30)
    row = outbox.row(identity)
    assert (row.next_at - row.created_at).total_seconds() == pytest.approx(30, abs=5)


def test_a_hand_off_begins_the_lease_anew(outbox, travel):
    outbox.add_many(1)
    with transaction():
        claimed = claims.claim("mail", limit=1)
    travel(seconds=50)
    with transaction():
        attempts.hand_off(claimed, provider="memory")
    travel(seconds=50)
    with transaction():
        assert claims.claim("mail", limit=1) == []
    assert outbox.states() == ["sending"]
