"""The real processes: flask worker, rq worker, flask cron; started, killed, and left without Redis."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from rq import Queue
from sqlalchemy.exc import OperationalError

from delivery import jobs, notifications
from delivery.notifications import attempts, heartbeat
from delivery.notifications.jobs import deliver
from delivery.ops import cron
from delivery.ops.leash import leashed
from delivery.subscriptions import COMPOSERS
from tests.notifications.conftest import on_postgresql, rows
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START_SECONDS = 30


def alive(process):
    """Does it still run? Somebody else may have to bury it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Process:
    """A command of the project in a group of its own; its output in a file."""

    def __init__(self, command, *, env, log):
        self.log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                leashed([str(BIN / command[0]), *command[1:]], signal=signal.SIGKILL),
                env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def stop(self, seconds=20):
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(timeout=seconds)

    def kill_all(self):
        """kill -9 to this process and its children."""
        with suppress(psutil.NoSuchProcess):
            tree = [psutil.Process(self.popen.pid), *psutil.Process(self.popen.pid).children(recursive=True)]
            for process in tree:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            wait_until(lambda: not any(map(alive, tree[1:])), what="the end of its children")
        self.popen.wait(timeout=10)

    def children(self):
        return psutil.Process(self.popen.pid).children(recursive=True)


@pytest.fixture
def environment(app, smtp, redis_server, tmp_path):
    """The settings of a whole system: this test's database, its Redis and its mail server."""
    smtp_settings = {"SMTP_HOST": smtp.host, "SMTP_PORT": smtp.port, "SMTP_TLS": "none"}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST"))},
        **{name: str(value) for name, value in smtp_settings.items()},
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": app.config["DATABASE_URL"].replace("postgresql+psycopg:", "postgresql:"),
        "REDIS_URL": redis_server.url,
        "FLASK_APP": "wsgi:app",
    }


@pytest.fixture
def start(environment, tmp_path):
    started = []

    def begin(*command, **more):
        log = tmp_path / f"process{len(started)}.log"
        started.append(Process(command, env={**environment, **more}, log=log))
        return started[-1]

    yield begin
    for process in started:
        process.kill_all()


@pytest.fixture
def system(app, environment):
    """The app of this process, with the mail server of the others."""
    app.config.update(SMTP_HOST=environment["SMTP_HOST"], SMTP_PORT=int(environment["SMTP_PORT"]), SMTP_TLS="none")
    notifications.init_app(app, COMPOSERS)
    return app


def workers_of(redis_server, queue="mail"):
    with redis_server.client() as client:
        return client.scard(f"rq:workers:{queue}")


def states(app):
    with app.app_context():
        return [(row.template, row.state, row.handoff_at is not None) for row in rows()]


def wait_for_states(app, expected):
    wait_until(lambda: {state for _, state, _ in states(app)} == expected, what=f"all {expected}", seconds=20)


def test_flask_worker_delivers_and_stops_cleanly(system, api, smtp, redis_server, start):
    worker = start("flask", "worker")
    wait_until(
        lambda: workers_of(redis_server) and workers_of(redis_server, "sms"), what="workers", seconds=START_SECONDS
    )
    api.create()
    mails = smtp.wait_for(2, seconds=10)
    assert {mail.message["X-Delivery-Event"] for mail in mails} == {"created"}
    wait_for_states(system, {"sent"})
    assert worker.stop(seconds=8) == 0
    assert workers_of(redis_server) == 0


@on_postgresql
def test_rq_worker_delivers(system, api, smtp, redis_server, start):
    api.create()
    worker = start("rq", "worker", "-c", "wsgi", "-S", "json", "--burst", "mail")
    assert worker.popen.wait(timeout=START_SECONDS) == 0, worker.log.read_text()
    assert len(smtp.received) == 2
    assert {state for _, state, _ in states(system)} == {"sent"}
    with redis_server.client() as client:
        assert Queue("mail", connection=client).failed_job_registry.count == 0


def test_a_worker_killed_while_the_server_thinks_leaves_no_message_behind(system, api, smtp, start, travel):
    """The one window in which a message may have been sent: what may go twice does, the rest waits for a person."""
    smtp.data_delay = 60.0
    api.create()
    register(system)
    worker = start("flask", "worker", "mail")
    wait_until(lambda: all(handed for *_, handed in states(system)), what="a hand-off", seconds=START_SECONDS)
    worker.kill_all()
    smtp.data_delay = 0.0
    travel(seconds=attempts.LEASE_SECONDS + 1)
    with system.app_context():
        deliver("mail", seconds=20)
    outcome = {(template, state) for template, state, _ in states(system)}
    assert outcome == {("created", "uncertain"), ("verify_email", "sent")}
    assert [mail.message["Subject"] for mail in smtp.received] == ["Please confirm your address"]


def register(app):
    body = {"name": "Grace", "email": "grace@new.example", "password": "a long and quiet password"}
    response = app.test_client().post("/api/users", json=body)
    assert response.status_code == 202, response.text


@on_postgresql
def test_a_dead_worker_is_replaced(system, api, smtp, redis_server, start):
    worker = start("flask", "worker", "mail")
    wait_until(lambda: worker.popen.poll() is None and worker.children(), what="a child", seconds=START_SECONDS)
    [child] = worker.children()
    child.kill()
    wait_until(
        lambda: [one.pid for one in worker.children()] not in ([], [child.pid]), what="another child", seconds=10
    )
    api.create()
    smtp.wait_for(2, seconds=20)


@on_postgresql
def test_workers_do_not_outlive_their_parent(start, redis_server):
    worker = start("flask", "worker", "mail")
    wait_until(lambda: workers_of(redis_server), what="a worker", seconds=START_SECONDS)
    children = worker.children()
    worker.popen.kill()
    wait_until(lambda: not any(map(alive, children)), what="the end of its children")


@on_postgresql
def test_asked_to_stop_in_mid_drain_a_worker_gives_back_what_it_did_not_send(system, api, smtp, redis_server, start):
    smtp.data_delay = 0.3
    for _ in range(10):
        api.create()
    worker = start("flask", "worker", "mail")
    smtp.wait_for(3, seconds=START_SECONDS)
    assert worker.stop(seconds=8) == 0
    found = [state for _, state, _ in states(system)]
    assert set(found) == {"sent", "pending"}
    assert found.count("sent") == len(smtp.received)


@on_postgresql
def test_cron_wakes_the_worker_for_a_message_whose_wake_was_lost(system, api, smtp, redis_server, start):
    api.create()
    redis_server.flush()
    start("flask", "worker", "mail")
    start("flask", "cron")
    smtp.wait_for(2, seconds=START_SECONDS + 5)
    wait_for_states(system, {"sent"})
    assert len(smtp.received) == 2


@on_postgresql
def test_without_redis_cron_sends_by_itself_and_stops_cleanly(system, api, smtp, redis_server, start):
    redis_server.kill()
    api.create()
    scheduler = start("flask", "cron")
    smtp.wait_for(2, seconds=START_SECONDS)
    wait_for_states(system, {"sent"})
    assert scheduler.stop(seconds=8) == 0


@on_postgresql
def test_two_sweeps_do_no_harm(system, api, smtp, redis_server):
    with redis_server.client() as client, system.app_context():
        api.create()
        cron.sweep()
        cron.sweep()
        assert Queue("mail", connection=client).count == 1
        assert client.ttl(heartbeat.KEY) > 0


@on_postgresql
def test_a_sweep_survives_the_loss_of_the_database(system, monkeypatch):
    outages, swept = [1, 2], []

    def sweep():
        if outages:
            outages.pop()
            raise OperationalError("SELECT", {}, Exception("gone"))
        swept.append(1)
        jobs.request_stop()

    monkeypatch.setattr(cron, "sweep", sweep)
    monkeypatch.setattr(cron, "SWEEP_SECONDS", 0.01)
    with system.app_context():
        cron.run()
    assert swept == [1]
