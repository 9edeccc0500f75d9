"""Sending once more, by service and by command."""

import json
import uuid

import pytest
from sqlalchemy import update

from delivery.database import db, transaction
from delivery.notifications import cli, jobs, queries
from delivery.notifications.channels import Failure
from delivery.notifications.models import OutboxMessage
from delivery.notifications.services import resend
from delivery.notifications.states import SMS_LIFE_SECONDS, Channel, MessageState
from tests.notifications.conftest import new_message, on_sqlite


def put(outbox, state, **fields):
    """A message that has come to this state."""
    [identity] = outbox.add(new_message(**fields))
    with db.engine.begin() as connection:
        at = None if state in {"pending", "sending"} else OutboxMessage.created_at
        lease = {"lease_token": uuid.uuid4(), "lease_until": OutboxMessage.created_at} if state == "sending" else {}
        statement = update(OutboxMessage.__table__).where(OutboxMessage.id == identity)
        connection.execute(statement.values(state=state, settled_at=at, **lease))
    return identity


def again(*ids):
    with transaction():
        return resend(ids)


def run(outbox, *words):
    return outbox.app.test_cli_runner().invoke(args=["notifications", *words])


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


def test_the_list_shows_the_newest_first_and_no_address(outbox):
    ids = outbox.add_many(3)
    result = run(outbox, "list", "--limit", "2")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["id", str(ids[2]), str(ids[1])]
    assert "@" not in result.stdout


def test_the_list_is_filtered(outbox, delivery_id, travel):
    dead = put(outbox, "dead", delivery_id=delivery_id, seq=1)
    sms = put(outbox, "pending", channel=Channel.SMS)
    travel(hours=3)
    late = put(outbox, "uncertain")
    for words, expected in [
        (["--state", "dead", "--state", "uncertain"], [late, dead]),
        (["--channel", "sms"], [sms]),
        (["--delivery", str(delivery_id)], [dead]),
        (["--since", "2h"], [late]),
    ]:
        listed = json.loads(run(outbox, "list", "--json", *words).stdout)
        assert [message["id"] for message in listed] == [str(one) for one in expected], words


def test_show_tells_the_whole_story(outbox):
    [identity] = outbox.add_many(1)
    outbox.mail.failures.append(Failure("smtp_550", "no such user", permanent=True))
    jobs.deliver("mail", seconds=20)
    result = run(outbox, "show", str(identity))
    assert result.exit_code == 0
    assert "attempt 1:" in result.stdout
    assert "no such user" in result.stdout
    told = json.loads(run(outbox, "show", str(identity), "--json").stdout)
    assert (told["state"], told["attempts_made"][0]["outcome"]) == ("failed", "permanent")
    assert "lease_token" not in told


@on_sqlite
def test_show_knows_what_is_not_there(outbox):
    result = run(outbox, "show", str(uuid.uuid4()))
    assert (result.exit_code, result.stdout) == (1, "")


@on_sqlite
def test_resend_by_id(outbox):
    identity = put(outbox, "sent")
    result = run(outbox, "resend", str(identity), "--json")
    assert result.exit_code == 0
    new = uuid.UUID(json.loads(result.stdout)[0]["sent_as"])
    assert outbox.row(new).resend_of == identity


def test_resend_by_options_takes_what_did_not_arrive(outbox):
    dead, failed = put(outbox, "dead"), put(outbox, "failed")
    sent = put(outbox, "sent")
    result = run(outbox, "resend", "--since", "1h")
    assert result.exit_code == 0
    assert {outbox.row(one).state for one in (dead, failed)} == {"pending"}
    assert len(outbox.rows()) == 3
    assert str(sent) not in result.stdout


@on_sqlite
def test_it_says_when_there_are_too_many_for_one_run(outbox, monkeypatch):
    monkeypatch.setattr(cli, "MOST", 2)
    for _ in range(2):
        assert "newest 2" not in run(outbox, "resend", "--state", "dead", "--dry-run").stderr
        put(outbox, "dead")
    result = run(outbox, "resend", "--state", "dead", "--json")
    assert "These are the newest 2" in result.stderr
    assert len(json.loads(result.stdout)) == 2


@on_sqlite
def test_a_dry_run_changes_nothing(outbox):
    identity = put(outbox, "dead")
    before = outbox.rows()
    result = run(outbox, "resend", "--state", "dead", "--dry-run")
    assert (result.exit_code, outbox.rows()) == (0, before)
    assert result.stdout == f"{identity}  would be sent once more\n"


@on_sqlite
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["resend"], 2),
        (["resend", "--since", "soon"], 2),
        (["resend", "--state", "dead"], 1),
        (["resend", str(uuid.uuid4())], 1),
        (["resend", "not-an-id"], 2),
        (["list", "--limit", "0"], 2),
    ],
)
def test_the_exit_code_says_what_went_wrong(outbox, words, code):
    assert run(outbox, *words).exit_code == code


@on_sqlite
def test_a_message_that_cannot_be_sent_again_is_said_to_be_left_alone(outbox):
    identity = put(outbox, "suppressed")
    result = run(outbox, "resend", str(identity))
    assert (result.exit_code, result.stdout) == (1, f"{identity}  left alone: suppressed\n")


@on_sqlite
@pytest.mark.parametrize("command", ["list", "show", "resend"])
def test_help_has_examples(outbox, command):
    result = run(outbox, command, "--help")
    assert "Example" in result.stdout
    assert f"flask notifications {command}" in result.stdout


def test_every_state_can_be_asked_for(outbox):
    assert [len(queries.newest(queries.Filter(states=[state]), limit=1)) for state in MessageState] == [0] * len(
        MessageState
    )
