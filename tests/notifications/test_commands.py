"""`flask notifications`: what an operator sees, sends once more and cancels."""

import json
import uuid

import pytest

from delivery.notifications import heartbeat, jobs, queries
from delivery.notifications.channels import Failure
from delivery.notifications.cli import sending
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import Channel, MessageState
from tests.commands import run as run_command
from tests.commands import run_json
from tests.notifications.conftest import on_sqlite, put


def run(outbox, *words, **options):
    return run_command(outbox.app, "notifications", *words, **options)


def told(outbox, *words):
    return run_json(outbox.app, "notifications", *words)


def ids(messages):
    return [one["id"] for one in messages]


def test_the_list_shows_the_newest_first_and_no_address(outbox):
    made = outbox.add_many(3)
    result = run(outbox, "list", "--limit", 2)
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["id", str(made[2]), str(made[1])]
    assert "@" not in result.stdout


def test_the_list_is_filtered(outbox, delivery_id, travel):
    dead = put(outbox, "dead", delivery_id=delivery_id, seq=1, audience="sender")
    sms = put(outbox, "pending", channel=Channel.SMS, event="delivered")
    travel(hours=3)
    late = put(outbox, "uncertain")
    for words, expected in [
        (["--state", "dead", "--state", "uncertain"], [late, dead]),
        (["--state", "dead", "--state", "uncertain", "--limit", 1], [late]),
        (["--channel", "sms"], [sms]),
        (["--event", "delivered"], [sms]),
        (["--audience", "sender"], [dead]),
        (["--delivery", delivery_id], [dead]),
        (["--delivery", "0123456789ABC"], [dead]),
        (["--delivery", "0123-4567-89abc"], [dead]),
        (["--since", "2h"], [late]),
        (["--until", "2h"], [sms, dead]),
        (["--since", "4h", "--until", "2h", "--channel", "mail"], [dead]),
    ]:
        assert ids(told(outbox, "list", *words)) == [str(one) for one in expected], words


@on_sqlite
def test_a_tracking_number_of_no_delivery_is_said_to_be_none(outbox):
    result = run(outbox, "list", "--delivery", "nobody's")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "There is no delivery nobody's." in result.stderr


def test_show_tells_the_whole_story_and_why_it_was_not_sent(outbox):
    [identity] = outbox.add_many(1)
    outbox.mail.failures.append(Failure("smtp_550", "no such user", permanent=True))
    jobs.deliver("mail", seconds=20)
    result = run(outbox, "show", identity)
    assert "reason:        Refused for good: the mail server does not take it (smtp_550).\n" in result.stdout
    assert "attempt 1:" in result.stdout
    assert "permanent memory smtp_550 no such user" in result.stdout
    story = told(outbox, "show", identity)
    assert (story["state"], story["attempts_made"][0]["outcome"]) == ("failed", "permanent")
    assert not {"lease_token", "lane", "data", "body"} & set(story)


@on_sqlite
def test_show_knows_what_is_not_there(outbox):
    result = run(outbox, "show", uuid.uuid4())
    assert (result.exit_code, result.stdout) == (1, "")


@on_sqlite
def test_resend_by_id_says_what_becomes_of_each(outbox):
    sent, dead, suppressed = put(outbox, "sent"), put(outbox, "dead"), put(outbox, "suppressed")
    messages = {one["id"]: one["sent_as"] for one in told(outbox, "resend", sent, dead, suppressed)["messages"]}
    assert (messages[str(dead)], messages[str(suppressed)]) == (str(dead), None)
    assert outbox.row(uuid.UUID(messages[str(sent)])).resend_of == sent
    result = run(outbox, "resend", suppressed)
    assert result.exit_code == 1
    assert f"{suppressed}  left alone: suppressed\n" in result.stdout


def test_resend_by_options_takes_what_did_not_arrive_and_counts(outbox):
    dead, failed, sent = put(outbox, "dead"), put(outbox, "failed", channel=Channel.SMS), put(outbox, "sent")
    result = run(outbox, "resend", "--since", "1h")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["mail", "dead", "sent", "once", "more", "1"],
        ["sms", "failed", "sent", "once", "more", "1"],
    ]
    assert {outbox.row(one).state for one in (dead, failed)} == {"pending"}
    assert (outbox.row(sent).state, len(outbox.rows())) == ("sent", 3)


def test_many_are_sent_again_batch_by_batch_the_oldest_first(outbox, monkeypatch):
    monkeypatch.setattr(sending, "CHUNK", 2)
    made = [put(outbox, state) for state in ("dead", "failed", "uncertain", "dead", "failed")]
    assert run(outbox, "resend", "--since", "1h", "--limit", 3).exit_code == 0
    assert [outbox.row(one).state for one in made] == ["pending"] * 3 + ["dead", "failed"]
    assert run(outbox, "resend", "--since", "1h").exit_code == 0
    assert {outbox.row(one).state for one in made} == {"pending"}


def test_after_a_break_the_same_command_goes_on_and_repeats_nothing(outbox, monkeypatch):
    """What arrived stays `sent` when it is sent again as a new message; neither it nor that is taken once more."""
    monkeypatch.setattr(sending, "CHUNK", 1)
    first, second = put(outbox, "sent"), put(outbox, "sent")
    assert run(outbox, "resend", "--state", "sent", "--limit", 1).exit_code == 0
    jobs.deliver("mail", seconds=20)
    assert run(outbox, "resend", "--state", "sent").exit_code == 0
    jobs.deliver("mail", seconds=20)
    assert run(outbox, "resend", "--state", "sent").exit_code == 1
    assert sorted(row.resend_of for row in outbox.rows() if row.resend_of) == [first, second]


def test_above_a_hundred_it_asks_first(outbox, monkeypatch):
    monkeypatch.setattr(sending, "ASK_ABOVE", 1)
    made = [put(outbox, "dead") for _ in range(2)]
    before = outbox.rows()
    refused = run(outbox, "resend", "--state", "dead", input="n\n")
    assert (refused.exit_code, outbox.rows()) == (1, before)
    assert "Send 2 messages once more?" in refused.stderr
    assert run(outbox, "resend", "--state", "dead", "--limit", 1, "--json").exit_code == 0
    put(outbox, "dead")
    assert run(outbox, "resend", "--state", "dead", "--yes", "--json").exit_code == 0
    assert {outbox.row(one).state for one in made} == {"pending"}


def test_a_dry_run_changes_nothing(outbox):
    identity = put(outbox, "dead")
    waiting = put(outbox, "pending")
    before = outbox.rows()
    for words in (["resend", "--state", "dead"], ["cancel", waiting], ["resend", identity]):
        result = run(outbox, *words, "--dry-run")
        assert (result.exit_code, outbox.rows()) == (0, before)
        assert "Nothing was changed" in result.stdout
    assert f"{identity}  would be sent once more\n" in result.stdout
    put(outbox, "sent")
    assert "would be sent as a new message" in run(outbox, "resend", outbox.ids()[-1], "--dry-run").stdout


def test_cancel_takes_what_waits_and_nothing_else(outbox, monkeypatch):
    monkeypatch.setattr(sending, "CHUNK", 2)
    waiting = [put(outbox, "pending", event="delivered") for _ in range(3)]
    others = [put(outbox, "dead", event="delivered"), put(outbox, "sending", event="delivered"), put(outbox, "pending")]
    outcomes = told(outbox, "cancel", "--event", "delivered")["outcomes"]
    assert outcomes == [{"channel": "mail", "was": "pending", "outcome": "cancelled", "count": 3}]
    assert {outbox.row(one).state for one in waiting} == {"cancelled"}
    assert [outbox.row(one).state for one in others] == ["dead", "sending", "pending"]
    assert run(outbox, "cancel", *others[:2]).exit_code == 1


@on_sqlite
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["resend"], 2),
        (["cancel"], 2),
        (["resend", "--since", "soon"], 2),
        (["resend", "--since", "\u0662h"], 2),
        (["resend", "--state", "dead"], 1),
        (["resend", uuid.uuid4()], 1),
        (["resend", "not-an-id"], 2),
        (["resend", "--state", "dead", "--limit", "0"], 2),
        (["cancel", uuid.uuid4()], 1),
        (["list", "--limit", "0"], 2),
        (["list", "--delivery", "\udcff"], 2),
        (["list", "--since", "99999d"], 0),
    ],
)
def test_the_exit_code_says_what_went_wrong(outbox, words, code):
    assert run(outbox, *words).exit_code == code


def test_every_state_can_be_asked_for(outbox):
    assert [queries.page(queries.Filter(state=[state]), limit=1) for state in MessageState] == [[]] * len(MessageState)


def test_stats_count_what_waits_is_late_and_was_given_up(outbox, travel):
    outbox.mail.failures.append(Failure("smtp_451", "later"))
    outbox.add_many(2)
    jobs.deliver("mail", seconds=20)
    put(outbox, "dead", channel=Channel.SMS)
    put(outbox, "pending", channel=Channel.SMS)
    heartbeat.beat()
    travel(seconds=5)
    found = told(outbox, "stats")
    assert found["waiting"] == [
        {"channel": "mail", "state": "pending", "count": 1, "due": 0, "later": 1},
        {"channel": "sms", "state": "pending", "count": 1, "due": 1, "later": 0},
    ]
    assert found["given_up"] == [{"channel": "sms", "state": "dead", "count": 1}]
    assert {"channel": "mail", "state": "sent", "count": 1} in found["last_day"]
    assert found["attempts"] == [
        {"channel": "mail", "outcome": "sent", "count": 1},
        {"channel": "mail", "outcome": "temporary", "count": 1},
    ]
    assert found["overdue_seconds"]["mail"] == 0
    assert found["overdue_seconds"]["sms"] == pytest.approx(5, abs=2)
    assert found["last_sweep_seconds"] == pytest.approx(5, abs=2)
    text = run(outbox, "stats").stdout
    assert "mail     pending  1      0    1\n" in text
    assert "last sweep: " in text


def test_what_waits_behind_another_in_its_lane_is_not_late(outbox, delivery_id, travel):
    outbox.mail.failures.append(Failure("smtp_451", "later"))
    who = uuid.uuid4()
    first = put(outbox, "pending", recipient_id=who, delivery_id=delivery_id, seq=1)
    jobs.deliver("mail", seconds=20)
    put(outbox, "pending", recipient_id=who, delivery_id=delivery_id, seq=2)
    travel(seconds=10)
    assert outbox.row(first).state == "pending"
    assert told(outbox, "stats")["overdue_seconds"]["mail"] == 0


@on_sqlite
def test_stats_say_that_nobody_sweeps_or_that_nobody_knows(make_app, redis_server, tmp_path):
    redis_server.flush()
    assert "last sweep: none for 60 s" in run_command(make_app(), "notifications", "stats").stdout
    app = make_app(REDIS_URL=f"unix://{tmp_path}/nobody.sock")
    assert "last sweep: unknown: Redis is down" in run_command(app, "notifications", "stats").stdout


def test_stats_do_not_count_what_was_settled_days_ago(outbox, travel):
    put(outbox, "sent")
    travel(days=2)
    assert told(outbox, "stats")["last_day"] == []


def test_no_command_shows_how_workers_agree(outbox):
    put(outbox, "sending")
    text = json.dumps(told(outbox, "list"))
    assert not any(name in text for name in ("lease", "lane", OutboxMessage.data.key + '"'))
