"""`flask ops status`: one screen, true, and an exit code that a script can go by."""

import json
import re

import pytest
from rq import Worker

from delivery import jobs
from delivery.notifications import heartbeat
from delivery.notifications.states import Channel
from tests.commands import run, run_json
from tests.notifications.conftest import Outbox, on_sqlite, put


@pytest.fixture
def running(app, redis_server):
    """The app with its workers and cron, as far as Redis knows."""
    redis_server.flush()
    with app.app_context():
        heartbeat.beat()
        redis = jobs.redis_for_worker()  # RQ gives it more patience
        for channel in Channel:
            worker = Worker([jobs.queue(channel, redis=redis)], connection=redis)
            worker.register_birth()
            worker.set_state("idle")
    return app


def channel(body, name):
    return next(row for row in body["channels"] if row["channel"] == name)


def test_where_all_is_well_it_says_so_on_one_screen(running):
    running.config["GIT_REVISION"] = "4f2c1aa"
    result = run(running, "ops", "status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Delivery 0.1.0 (4f2c1aa), Python 3.")
    assert len(lines) <= 24
    assert {line[:4].strip() for line in lines if line[4:6] == "  "} >= {"ok"}
    assert not any(line.startswith(("warn", "FAIL")) for line in lines)
    body = run_json(running, "ops", "status")
    assert (body["ok"], body["revision"]) == (True, "4f2c1aa")
    assert channel(body, "mail") == {
        "channel": "mail", "waiting": 0, "late_seconds": 0, "given_up": 0, "jobs": 0, "oldest_job_seconds": 0,
        "workers": 1, "busy": 0, "heartbeat_seconds": pytest.approx(0, abs=5),
    }  # fmt: skip


def test_what_waits_and_what_was_given_up_needs_a_hand(running, travel):
    with running.app_context():
        outbox = Outbox(running)
        outbox.add_many(2)
        put(outbox, "dead", channel="sms")
    travel(seconds=90)
    result = run(running, "ops", "status", "--json")
    body = json.loads(result.stdout)
    assert (result.exit_code, body["ok"]) == (1, False)
    assert (channel(body, "mail")["waiting"], channel(body, "sms")["given_up"]) == (2, 1)
    assert channel(body, "mail")["late_seconds"] == pytest.approx(90, abs=5)
    said = run(running, "ops", "status").stdout
    assert "warn  unsent          1 dead" in said
    assert "-> see `flask notifications resend" in said


def test_a_hold_is_seen_and_needs_a_hand_until_it_is_released(running):
    assert run(running, "notifications", "hold", "--reason", "audit of the mails").exit_code == 0
    result = run(running, "ops", "status")
    assert result.exit_code == 1
    assert re.search(r"(?m)^warn  hold +nothing is sent since .+: audit of the mails  -> see", result.stdout)
    assert run(running, "notifications", "release").exit_code == 0
    assert run(running, "ops", "status").exit_code == 0


@on_sqlite
def test_a_queue_without_a_worker_needs_a_hand_and_says_what_to_type(app, redis_server):
    redis_server.flush()
    result = run(app, "ops", "status")
    assert result.exit_code == 1
    assert "FAIL  mail worker     no workers, no jobs waiting  -> start `flask worker mail`" in result.stdout
    assert "-> start `flask cron`" in result.stdout


@on_sqlite
def test_without_redis_the_outbox_is_told_all_the_same(make_app, tmp_path):
    result = run(make_app(REDIS_URL=f"unix://{tmp_path}/nobody.sock"), "ops", "status", "--json")
    body = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (channel(body, "mail")["waiting"], channel(body, "mail")["workers"]) == (0, None)


@on_sqlite
def test_without_a_database_the_queues_are_told_all_the_same(make_app, tmp_path, redis_server):
    redis_server.flush()
    app = make_app(DATABASE_URL=f"postgresql://ada:hush@/x?host={tmp_path}")
    result = run(app, "ops", "status", "--json")
    body = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (channel(body, "mail")["waiting"], channel(body, "mail")["workers"]) == (None, 0)
    said = run(app, "ops", "status")
    assert "FAIL  database" in said.stdout
    assert not {"ada", "hush", str(tmp_path)} & set(said.output.split())


@on_sqlite
def test_before_the_first_migration_it_says_what_to_run(make_app, tmp_path):
    result = run(make_app(DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3"), "ops", "status")
    assert result.exit_code == 1
    assert "-> run `flask db upgrade`" in result.stdout
