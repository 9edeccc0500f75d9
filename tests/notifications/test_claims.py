"""Who may send a message is decided by one statement, whoever else asks."""

import threading
import time
import uuid
from collections import Counter

import pytest
from sqlalchemy import event, text

from delivery.database import db, transaction
from delivery.notifications import attempts, claims
from delivery.notifications.held import Result
from delivery.notifications.states import ENDPOINT_CONCURRENCY, SMS_LIFE_SECONDS, Channel, Outcome
from tests.notifications.conftest import ONCE, REPEATABLE, new_message, on_postgresql

BURST = """
INSERT INTO outbox_messages (id, channel, audience, recipient_id, event, template, lane, data, state, attempts, next_at,
    created_at)
SELECT gen_random_uuid(), 'webhook', 'endpoint', md5((n % 5)::text)::uuid, 'delivery.created', 'webhook',
    'lane ' || n % 200, '{}', 'pending', 0, now(), now() FROM generate_series(1, 1000) n"""


def claim(limit=100, channel="mail"):
    with transaction():
        return claims.claim(channel, limit=limit)


def hand_off(messages):
    with transaction():
        return attempts.hand_off(messages, provider="memory")


def settle(message, outcome=Outcome.SENT):
    with transaction():
        return attempts.settle([Result(message, outcome)])


def test_a_claim_takes_no_more_than_its_limit(outbox):
    ids = outbox.add_many(5)
    assert {message.id for message in claim(limit=2)} < set(ids)
    assert outbox.states().count("sending") == 2
    assert len(claim()) == 3
    assert claim() == []


def test_a_claim_leaves_other_channels_alone(outbox):
    outbox.add(new_message(channel=Channel.SMS))
    assert claim() == []
    assert len(claim(channel="sms")) == 1


def test_what_is_not_due_is_not_claimed(outbox, travel):
    outbox.add_many(1)
    travel(seconds=-10)
    assert claim() == []
    travel(seconds=20)
    assert len(claim()) == 1


def test_racing_workers_take_each_message_once(outbox, app):
    ids = outbox.add_many(200)
    start, taken, lock = threading.Barrier(4), Counter(), threading.Lock()

    def work():
        with app.app_context():
            start.wait(timeout=10)
            while got := claim(limit=7):
                with lock:
                    taken.update(message.id for message in got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert taken == Counter(ids)


def test_a_lane_is_first_in_first_out(outbox, delivery_id):
    lane = {"delivery_id": delivery_id, "recipient_id": delivery_id}
    third, first, second = (outbox.add(new_message(seq=seq, **lane))[0] for seq in (3, 1, 2))
    for expected in (first, second, third):
        [message] = claim()
        assert message.id == expected
        assert claim() == []
        hand_off([message])
        settle(message)


def test_a_message_that_waits_for_its_next_attempt_holds_its_lane(outbox, delivery_id):
    lane = {"delivery_id": delivery_id, "recipient_id": delivery_id}
    outbox.add(new_message(seq=1, **lane), new_message(seq=2, **lane), new_message())
    held = claim()
    assert len(held) == 2
    first = next(message for message in held if message.seq == 1)
    [first] = hand_off([first])
    settle(first, Outcome.TEMPORARY)
    assert claim() == []
    assert claims.due_channels() == []


def test_messages_to_one_account_keep_their_order(outbox):
    person = uuid.uuid4()
    ids = [outbox.add(new_message(recipient_id=person))[0] for _ in range(3)]
    assert [message.id for message in claim()] == ids[:1]


def test_a_dead_workers_message_comes_back_when_its_lease_ends(outbox, travel):
    [identity] = outbox.add_many(1)
    [dead] = claim()
    travel(seconds=attempts.LEASE_SECONDS - 1)
    assert claim() == []
    assert claims.due_channels() == []
    travel(seconds=2)
    assert claims.due_channels() == ["mail"]
    [message] = claim()
    assert message.id == identity
    assert (message.attempts, outbox.attempts(identity)) == (0, [])
    assert message.lease_token != dead.lease_token


def test_what_a_dead_worker_may_have_sent_is_uncertain_and_left_to_people(outbox, travel):
    [identity] = outbox.add_many(1, template=ONCE)
    hand_off(claim())
    travel(seconds=attempts.LEASE_SECONDS + 1)
    assert claim() == []
    row = outbox.row(identity)
    assert (row.state, row.error_class, row.lease_token) == ("uncertain", "worker_lost", None)
    assert row.settled_at is not None
    assert [(one.n, one.outcome) for one in outbox.attempts(identity)] == [(1, "uncertain")]


def test_what_may_be_sent_twice_is_sent_again(outbox, travel):
    [identity] = outbox.add_many(1, template=REPEATABLE)
    hand_off(claim())
    travel(seconds=attempts.LEASE_SECONDS + 1)
    [message] = claim()
    [message] = hand_off([message])
    settle(message)
    assert outbox.row(identity).state == "sent"
    assert [(one.n, one.outcome) for one in outbox.attempts(identity)] == [(1, "lease_lost"), (2, "sent")]


def test_a_message_that_kills_every_worker_dies_at_last(outbox, travel):
    [identity] = outbox.add_many(1, template=REPEATABLE)
    for _ in range(7):
        assert hand_off(claim())
        travel(seconds=attempts.LEASE_SECONDS + 1)
    assert claim() == []
    assert outbox.row(identity).state == "dead"


def test_what_has_expired_is_dead_and_does_not_hide_what_is_behind_it(outbox, travel):
    late = outbox.add_many(3, channel=Channel.SMS)
    travel(seconds=SMS_LIFE_SECONDS + 1)
    [good] = outbox.add_many(1, channel=Channel.SMS)
    assert [message.id for message in claim(channel="sms", limit=2)] == [good]
    assert {(outbox.row(one).state, outbox.row(one).error_class) for one in late} == {("dead", "expired")}


def test_a_worker_that_lost_its_lease_changes_nothing(outbox, travel):
    [identity] = outbox.add_many(1, template=REPEATABLE)
    [slow] = hand_off(claim())
    travel(seconds=attempts.LEASE_SECONDS + 1)
    [quick] = hand_off(claim())
    before = outbox.row(identity), outbox.attempts(identity)
    assert settle(slow) == {identity}
    assert hand_off([slow]) == []
    with transaction():
        attempts.release([slow])
    assert (outbox.row(identity), outbox.attempts(identity)) == before
    assert settle(quick) == set()
    assert outbox.row(identity).state == "sent"


def test_a_lease_that_ran_out_unnoticed_still_counts(outbox, travel):
    [identity] = outbox.add_many(1)
    [message] = hand_off(claim())
    travel(seconds=attempts.LEASE_SECONDS + 1)
    assert settle(message) == set()
    assert outbox.row(identity).state == "sent"


@pytest.mark.parametrize("probe", [claim, claims.due_channels])
def test_the_sweep_and_the_claim_probe_the_partial_indexes(outbox, app, probe):
    outbox.add_many(2000)
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    engines = [db.engine, app.extensions["delivery.read_engine"]]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    probe()
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    [(statement, parameters)] = [one for one in asked if "outbox_messages" in one[0]]
    plan = explain(statement, parameters)
    assert "ix_outbox_messages_due" in plan, plan
    assert "ix_outbox_messages_lane" in plan, plan


def explain(statement, parameters):
    with db.engine.connect() as connection:
        if db.engine.dialect.name == "sqlite":
            return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all())
        # Without it the planner goes by how many pages the tests before left empty. It ends with the transaction.
        connection.exec_driver_sql("ANALYZE outbox_messages, outbox_holds")
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())


@on_postgresql
def test_a_burst_of_webhooks_is_claimed_quickly_before_anybody_has_counted_the_table(outbox):
    """Without statistics the planner looked for each endpoint's candidates once for each due message: 1.3 s idle."""
    with transaction() as session:
        session.execute(text(BURST))
    began = time.monotonic()
    assert len(claim(channel="webhook")) == 5 * ENDPOINT_CONCURRENCY
    assert time.monotonic() - began < 0.5
