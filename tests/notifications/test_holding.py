"""While messages are held nothing is sent, by whatever process; and after a restore nothing comes twice by itself."""

import pytest
from sqlalchemy import update

from delivery.database import transaction
from delivery.notifications import attempts, claims, holding, stats
from delivery.notifications.jobs import deliver
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import Channel
from delivery.ops import cron
from tests.commands import run, run_json
from tests.notifications.conftest import REPEATABLE, new_message


def hold(outbox):
    assert run_json(outbox.app, "notifications", "hold", "--reason", "a test")["held"] is True


def release(outbox, *options):
    return run_json(outbox.app, "notifications", "release", *options)


def drain():
    for channel in Channel:
        deliver(channel, seconds=5)


def test_what_is_held_is_neither_claimed_nor_swept_nor_late(outbox, travel):
    outbox.add(*(new_message(channel=channel) for channel in Channel))
    hold(outbox)
    outbox.add_many(1)
    travel(seconds=10)
    drain()
    cron.sweep()
    assert claims.due_channels() == []
    assert set(outbox.states()) == {"pending"}
    assert [*outbox.mail.sent, *outbox.sms.sent, *outbox.webhook.sent] == []
    assert set(stats.overdue_seconds().values()) == {0.0}


def test_a_sweep_without_redis_sends_nothing_either(outbox, redis_server):
    outbox.add_many(1)
    hold(outbox)
    redis_server.kill()
    try:
        cron.sweep()
    finally:
        redis_server.start()
    assert outbox.states() == ["pending"]


def test_what_is_released_goes_out_once(outbox):
    outbox.add_many(3)
    hold(outbox)
    drain()
    assert release(outbox) == {"held": False, "kept_back": 0}
    drain()
    drain()
    assert outbox.states() == ["sent"] * 3
    assert len(outbox.mail.sent) == 3


def test_a_second_hold_changes_nothing_and_one_release_ends_both(outbox):
    hold(outbox)
    hold(outbox)
    release(outbox)
    again = run(outbox.app, "notifications", "release")
    assert (again.exit_code, again.stderr) == (1, "Error: Nothing is held.\n")
    assert holding.standing() is None


def test_what_waited_before_the_hold_is_kept_back_where_twice_is_no_good(outbox):
    news, account, hook = outbox.add(
        new_message(), new_message(template=REPEATABLE), new_message(channel=Channel.WEBHOOK, template="webhook")
    )
    hold(outbox)
    (later,) = outbox.add_many(1)
    assert release(outbox, "--keep-back")["kept_back"] == 1
    drain()
    assert outbox.row(news).state == "uncertain"
    assert outbox.row(news).error_class == "restored"
    assert {outbox.row(one).state for one in (account, hook, later)} == {"sent"}
    assert len(outbox.mail.sent) == 2


@pytest.mark.parametrize("handed_off", [False, True])
def test_what_a_worker_held_in_the_backup_is_kept_back_too(outbox, travel, handed_off):
    (news,) = outbox.add_many(1)
    with transaction():
        messages = claims.claim("mail", limit=1)
    if handed_off:
        with transaction():
            attempts.hand_off(messages, provider="memory")
    hold(outbox)
    travel(minutes=2)
    assert release(outbox, "--keep-back")["kept_back"] == 1
    drain()
    assert outbox.row(news).state == "uncertain"
    assert outbox.mail.sent == []
    assert [one.outcome for one in outbox.attempts(news)] == (["uncertain"] if handed_off else [])


def test_what_was_handed_off_is_uncertain_without_being_kept_back(outbox, travel):
    """As after every worker's death: it is never sent twice by itself."""
    (news,) = outbox.add_many(1)
    with transaction():
        claims.claim("mail", limit=1)
    with transaction() as session:
        session.execute(update(OutboxMessage).values(handoff_at=OutboxMessage.created_at))
    hold(outbox)
    travel(minutes=2)
    release(outbox)
    drain()
    assert outbox.row(news).state == "uncertain"
    assert outbox.mail.sent == []


def test_a_hold_is_seen_by_those_who_watch(outbox, client):
    def metric():
        text = client.get("/metrics", headers={"Authorization": "Bearer metrics-for-tests-0c1d"}).text
        return next(line for line in text.splitlines() if line.startswith("delivery_outbox_held "))

    assert metric() == "delivery_outbox_held 0.0"
    hold(outbox)
    assert metric() == "delivery_outbox_held 1.0"
    assert run_json(outbox.app, "notifications", "stats")["held"]["reason"] == "a test"
    assert "nothing is sent: a test" in run(outbox.app, "notifications", "stats").stdout
    doctor = run(outbox.app, "doctor").stdout
    assert "warn  hold            nothing is sent since" in doctor
    assert "release" in doctor
