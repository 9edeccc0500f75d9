"""What was settled long ago goes; what is open, young, or named by another stays."""

import uuid

import pytest
from sqlalchemy import update

from delivery.database import db, transaction
from delivery.notifications import jobs, retention
from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.services import resend
from delivery.notifications.states import MessageState
from delivery.ops import housekeeping
from tests.notifications.conftest import put

DONE = ("sent", "delivered", "suppressed", "superseded", "cancelled")
GIVEN_UP = ("failed", "dead", "uncertain")


def purge(limit=100):
    with transaction():
        return retention.purge(limit)


def left(outbox):
    return sorted(outbox.states())


def test_it_is_one_of_the_chores():
    assert retention.purge in housekeeping.CHORES
    assert {*DONE, *GIVEN_UP, "pending", "sending"} == set(MessageState)


def test_settled_messages_stay_thirty_days_and_what_did_not_arrive_ninety(outbox, travel):
    for state in MessageState:
        put(outbox, state)
    travel(days=29, hours=23)
    assert purge() == 0
    travel(hours=2)
    assert purge() == len(DONE)
    assert left(outbox) == sorted([*GIVEN_UP, "pending", "sending"])
    travel(days=59, hours=22)
    assert purge() == 0
    travel(hours=2)
    assert purge() == len(GIVEN_UP)
    assert left(outbox) == ["pending", "sending"]
    travel(days=4000)
    assert purge() == 0


def test_the_settings_say_how_long(outbox, travel, monkeypatch):
    monkeypatch.setitem(outbox.app.config, "NOTIFICATIONS_KEEP_DAYS", 1)
    monkeypatch.setitem(outbox.app.config, "NOTIFICATIONS_KEEP_FAILED_DAYS", 2)
    put(outbox, "sent")
    put(outbox, "dead")
    for days in (1, 1):
        travel(days=days, minutes=1)
        assert purge() == 1
    assert outbox.rows() == []


def test_attempts_go_with_their_message_and_no_others(outbox, travel):
    outbox.add_many(2)
    jobs.deliver("mail", seconds=20)
    travel(days=31)
    [young] = outbox.add_many(1)
    jobs.deliver("mail", seconds=20)
    assert purge() == 2
    assert outbox.ids() == [young]
    with db.engine.connect() as connection:
        assert connection.execute(OutboxAttempt.__table__.select()).one().message_id == young


def test_it_goes_batch_by_batch(outbox, travel):
    for state in ("sent", "sent", "sent", "dead"):
        put(outbox, state)
    travel(days=91)
    assert [purge(2) for _ in range(3)] == [2, 2, 0]


def test_a_message_stays_while_another_repeats_it(outbox, travel):
    first = put(outbox, "sent")
    travel(days=20)
    with transaction():
        second = resend([first])[first]
    jobs.deliver("mail", seconds=20)
    travel(days=11)
    assert purge() == 0
    travel(days=20)
    assert purge() == 1
    assert outbox.ids() == [first]
    assert purge() == 1
    assert second != first


def test_what_was_settled_late_counts_from_then(outbox, travel):
    identity = put(outbox, "pending")
    travel(days=40)
    with db.engine.begin() as connection:
        late = update(OutboxMessage.__table__).where(OutboxMessage.id == identity)
        connection.execute(late.values(state="sent", settled_at=outbox.row(identity).created_at))
    assert purge() == 1


def test_an_id_that_tells_no_time_keeps_its_message_at_worst(outbox, travel):
    identity = put(outbox, "sent")
    with db.engine.begin() as connection:
        ancient, distant = uuid.UUID(int=7), uuid.UUID(int=2**128 - 1)
        connection.execute(update(OutboxMessage.__table__).values(id=distant))
        travel(days=31)
        assert identity != ancient
    assert purge() == 0


@pytest.mark.parametrize("state", ["sent", "dead"])
def test_what_somebody_sends_again_meanwhile_stays(outbox, travel, state):
    identity = put(outbox, state)
    travel(days=100)
    with transaction():
        resend([identity])
    assert purge() == 0
    assert identity in outbox.ids()
