"""`flask doctor`: each part is well or ill, says what to do, and gives nothing away."""

import errno
import socket
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from rq import Worker
from sqlalchemy import text

from delivery import jobs
from delivery.database import db, new_id, transaction
from delivery.imports.running import claim
from delivery.notifications import heartbeat
from delivery.notifications.models import OutboxMessage
from delivery.notifications.services import NewMessage, add
from delivery.notifications.states import Channel
from delivery.ops import doctor, schema
from delivery.ops.checks import Finding, Level
from delivery.ops.queues import QUEUES
from tests.commands import run, run_json
from tests.imports.making import asked

SECOND = timedelta(seconds=1)
PASSWORD = "Hushhush-7d1f"


def examine(app):
    """Run it; the findings by part, and the exit code."""
    result = run(app, "doctor")
    found = {}
    for line in result.stdout.splitlines():
        level, what, detail = line[:6].strip(), line[6:22].strip(), line[22:]
        found[what] = (level, detail)
    return found, result.exit_code


def ill(found):
    return {what for what, (level, _) in found.items() if level != "ok"}


@pytest.fixture
def running(app):
    """The app with its workers and cron, as far as Redis knows."""
    with app.app_context():
        heartbeat.beat()
        redis = jobs.redis_for_worker()  # RQ gives it more patience
        for name in QUEUES:
            Worker([jobs.queue(name, redis=redis)], connection=redis).register_birth()
    return app


def queue_message(app):
    with app.app_context(), transaction():
        add([NewMessage(channel=Channel.MAIL, audience="user", recipient_id=new_id(), template="t", event="e")])


def test_where_all_is_well_every_line_is_ok(running):
    found, exit_code = examine(running)
    assert ill(found) == set()
    assert exit_code == 0
    assert list(found) == [check.what for check in doctor.CHECKS]
    assert {what for what, _ in found.items()} >= {"database", "schema", "redis", "mail worker", "sms queue", "cron"}


def test_json_tells_the_same(running):
    body = run_json(running, "doctor")
    assert body["ok"] is True
    assert {check["level"] for check in body["checks"]} == {"ok"}
    with running.app_context():
        jobs.redis_for_web().delete(heartbeat.KEY)
    result = run(running, "doctor", "--json")
    assert result.exit_code == 1
    assert '{"what":"cron","level":"fail"' in result.stdout


def test_it_names_the_database_it_runs_on(running, database_url):
    found, _ = examine(running)
    assert found["database"][1].startswith("PostgreSQL" if "postgresql" in database_url else "SQLite")


@pytest.mark.parametrize("change", ["DELETE FROM alembic_version", "UPDATE alembic_version SET version_num = 'older'"])
def test_a_schema_behind_the_code_fails_and_says_how_to_catch_up(running, change, monkeypatch):
    monkeypatch.setattr(schema, "_older", lambda: {"older"})
    with running.app_context(), db.engine.begin() as connection:
        head = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(text(change))
    try:
        found, exit_code = examine(running)
        assert (found["schema"][0], exit_code) == ("FAIL", 1)
        assert "-> run `flask db upgrade`" in found["schema"][1]
    finally:
        with running.app_context(), db.engine.begin() as connection:
            connection.execute(text("DELETE FROM alembic_version"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})


def test_without_tables_it_says_so_and_looks_no_further(make_app, tmp_path):
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")
    found, exit_code = examine(app)
    assert found["schema"] == ("FAIL", "there are no tables yet  -> run `flask db upgrade`")
    assert found["unsent"] == ("warn", "unknown while schema fails  -> see schema")
    assert exit_code == 1


def test_without_a_database_the_rest_is_unknown_and_nothing_is_given_away(make_app, tmp_path):
    app = make_app(DATABASE_URL=f"postgresql://ada:{PASSWORD}@/delivery?host={tmp_path}")
    found, exit_code = examine(app)
    assert found["database"][0] == "FAIL"
    assert "-> check DATABASE_URL" in found["database"][1]
    assert {found[what][0] for what in ("schema", "clock", "mail queue", "unsent")} == {"warn"}
    assert exit_code == 1
    output = run(app, "doctor").output + run(app, "doctor", "--json").output
    for secret in (PASSWORD, "ada", str(tmp_path)):
        assert secret not in output


def test_without_redis_that_alone_fails_and_what_lives_there_is_unknown(make_app, tmp_path):
    app = make_app(REDIS_URL=f"unix://{tmp_path}/nobody.sock")
    found, exit_code = examine(app)
    assert {what for what, (level, _) in found.items() if level == "FAIL"} == {"redis"}
    assert "-> check REDIS_URL" in found["redis"][1]
    assert found["cron"] == ("warn", "unknown while redis fails  -> see redis")
    assert exit_code == 1


def test_a_redis_that_may_forget_jobs_is_a_warning(running):
    with running.app_context():
        redis = jobs.redis_for_worker()  # RQ gives it more patience
        redis.config_set("maxmemory", 10**9)
        redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found, exit_code = examine(running)
        assert found["redis"][0] == "warn"
        assert "-> set maxmemory-policy to noeviction" in found["redis"][1]
        assert exit_code == 0
    finally:
        redis.config_set("maxmemory", 0)
        redis.config_set("maxmemory-policy", "noeviction")


def test_where_no_process_runs_it_says_what_to_start(app):
    found, exit_code = examine(app)
    assert ill(found) == {"mail worker", "sms worker", "webhook worker", "imports worker", "cron"}
    assert found["mail worker"] == ("FAIL", "no workers, no jobs waiting  -> start `flask worker mail`")
    assert found["cron"][1].endswith("-> start `flask cron`")
    assert exit_code == 1


def test_a_worker_of_one_queue_is_none_of_the_other(app):
    with app.app_context():
        redis = jobs.redis_for_worker()  # RQ gives it more patience
        Worker([jobs.queue("mail", redis=redis)], connection=redis).register_birth()
    found, _ = examine(app)
    assert found["mail worker"] == ("ok", "1 worker, no jobs waiting")
    assert found["sms worker"][0] == "FAIL"


@pytest.mark.parametrize(("seconds", "level"), [(10, "ok"), (70, "warn"), (700, "FAIL")])
def test_messages_that_wait_too_long_are_reported_by_channel(running, travel, seconds, level):
    queue_message(running)
    travel(seconds=seconds)
    found, _ = examine(running)
    assert found["mail queue"][0] == level
    assert f"1 due, the oldest for {seconds} s" in found["mail queue"][1]
    assert found["sms queue"] == ("ok", "nothing is due")


@pytest.mark.parametrize(("seconds", "level"), [(10, "ok"), (70, "warn"), (700, "FAIL")])
def test_an_import_that_nobody_works_on_is_reported(running, api, travel, seconds, level):
    asked(running, api.user_id)
    travel(seconds=seconds)
    found, _ = examine(running)
    late = f", the first has waited for {seconds} s  -> see `flask imports list" if level != "ok" else ""
    assert found["imports queue"][0] == level
    assert found["imports queue"][1].startswith(f"1 queued, none running{late}")


def test_an_import_that_somebody_works_on_is_not_late(running, api):
    asked(running, api.user_id)
    with running.app_context():
        assert claim()
    assert examine(running)[0]["imports queue"] == ("ok", "none queued, 1 running")


def test_messages_that_wait_for_their_next_attempt_are_not_late(running, travel):
    queue_message(running)
    with running.app_context(), transaction() as session:
        session.execute(text("UPDATE outbox_messages SET next_at = '2999-01-01 00:00:00'"))
    travel(seconds=700)
    assert examine(running)[0]["mail queue"] == ("ok", "nothing is due")


def test_messages_that_were_given_up_are_counted(running):
    for state in ("dead", "dead", "uncertain", "failed"):
        queue_message(running)
        with running.app_context(), transaction() as session:
            message = session.query(OutboxMessage).filter_by(state="pending").one()
            message.state, message.settled_at = state, message.created_at
    found, exit_code = examine(running)
    assert found["mail queue"] == ("ok", "nothing is due")
    assert found["unsent"][0] == "warn"
    assert found["unsent"][1].startswith("2 dead, 1 failed, 1 uncertain  -> see `flask notifications resend")
    assert exit_code == 0


def mail_app(make_app, smtp, **more):
    return make_app(SMTP_HOST="127.0.0.1", SMTP_PORT=smtp.port, **more)


def test_mail_is_tried_up_to_the_sign_in_and_none_is_sent(make_app, smtp):
    found, _ = examine(mail_app(make_app, smtp))
    assert found["mail"] == ("ok", "connected, encryption none, no sign-in; nothing was sent")
    assert (smtp.connections, smtp.received) == (1, [])


def test_a_mail_server_that_is_not_there_fails(make_app, smtp):
    found, exit_code = examine(make_app(SMTP_HOST="127.0.0.1", SMTP_PORT=1))
    assert found["mail"][0] == "FAIL"
    assert found["mail"][1].endswith("-> check SMTP_HOST, SMTP_PORT and SMTP_TLS")
    assert exit_code == 1


def test_a_mail_server_without_the_encryption_asked_for_fails(make_app, smtp):
    found, _ = examine(mail_app(make_app, smtp, SMTP_TLS="tls"))
    assert found["mail"][0] == "FAIL"


def test_a_mail_server_whose_certificate_nobody_vouches_for_fails(make_app, smtp):
    found, _ = examine(mail_app(make_app, smtp, SMTP_TLS="starttls"))
    assert found["mail"][0] == "FAIL"
    assert found["mail"][1].endswith("(tls)  -> check SMTP_TLS and the server's certificate")


def test_the_mail_password_is_tried_and_not_shown(make_app, smtp, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(smtp.certificate))
    smtp.logins = {"ada@shop.example": PASSWORD}
    given = {"SMTP_TLS": "starttls", "SMTP_USER": "ada@shop.example", "SMTP_PASSWORD": PASSWORD}
    app = mail_app(make_app, smtp, **given)
    right = run(app, "doctor")
    smtp.logins = {"ada@shop.example": "another"}
    wrong = run(app, "doctor")
    assert "ok    mail            connected, encryption starttls, signed in; nothing was sent\n" in right.stdout
    assert "does not take mail (smtp_535)  -> check SMTP_USER and SMTP_PASSWORD\n" in wrong.stdout
    assert PASSWORD not in right.output + wrong.output
    assert "ada@shop.example" not in right.output + wrong.output


@pytest.mark.parametrize("provider", ["twilio", "sns"])
def test_sms_credentials_are_not_shown(make_app, provider):
    credentials = {"SMS_API_KEY": "key-7f", "SMS_API_SECRET": PASSWORD, "SMS_FROM": "+15005550006"}
    app = make_app(SMS_PROVIDER=provider, **credentials)
    result = run(app, "doctor")
    assert f"{provider} has credentials, 0 segments today; nothing was sent" in result.stdout
    assert not any(secret in result.output for secret in credentials.values())


def test_printing_messages_is_well_in_development_alone(running):
    running.config["ENVIRONMENT"] = "production"
    found, exit_code = examine(running)
    assert found["mail"] == ("warn", "mail is printed to the console  -> set SMTP_HOST")
    assert found["sms"] == ("warn", "text messages are printed to the console  -> set SMS_PROVIDER")
    assert exit_code == 0


@pytest.mark.parametrize("key", ["", "short"])
def test_weak_keys_fail(running, key):
    running.config["JWT_SECRET_KEY"] = key
    found, exit_code = examine(running)
    assert found["keys"][0] == "FAIL"
    assert found["keys"][1].startswith("JWT_SECRET_KEY can be guessed  -> set random ones")
    assert exit_code == 1


def test_one_key_for_two_purposes_fails(running):
    running.config["JWT_SECRET_KEY"] = running.config["SECRET_KEY"]
    assert examine(running)[0]["keys"][0] == "FAIL"


def test_a_folder_that_cannot_be_written_to_fails(running):
    running.config["DATA_DIR"] = Path("/proc/self")
    found, exit_code = examine(running)
    assert found["disk"][0] == "FAIL"
    assert "-> make DATA_DIR writable" in found["disk"][1]
    assert exit_code == 1


def test_clocks_that_disagree_are_a_warning(running, monkeypatch):
    monkeypatch.setattr("delivery.ops.checks.clock.now", lambda now=doctor.checks.clock.now: now() + 10 * SECOND)
    found, exit_code = examine(running)
    assert found["clock"][0] == "warn"
    assert "10.0 s apart  -> set the clocks" in found["clock"][1]
    assert exit_code == 0


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, PASSWORD), "No space left on device"),
        (PermissionError(errno.EACCES, PASSWORD, PASSWORD), "Permission denied"),
        (OSError(PASSWORD), "OSError"),
        (ssl.SSLError(1, PASSWORD), "SSLError"),
        (socket.gaierror(-2, PASSWORD), "gaierror"),
    ],
)
def test_of_what_the_system_refuses_its_own_words_are_told(error, says):
    def broken():
        raise error

    ((_, found),) = doctor.examine([doctor.Check("bad", broken, "")])
    assert found == (Level.FAIL, f"does not work ({says})", "")


def test_a_check_that_breaks_is_a_failure_without_its_words(running, monkeypatch):
    def broken():
        raise RuntimeError(f"ada@shop.example {PASSWORD}")

    good = doctor.Check("good", lambda: Finding(Level.OK, "fine"), "")
    monkeypatch.setattr(doctor, "CHECKS", (doctor.Check("bad", broken, "call a plumber"), good))
    result = run(running, "doctor")
    assert result.exit_code == 1
    assert (
        result.stdout
        == "FAIL  bad             does not work (RuntimeError)  -> call a plumber\nok    good            fine\n"
    )
    assert PASSWORD not in result.output
