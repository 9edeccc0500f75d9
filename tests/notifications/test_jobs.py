"""Queues, Redis clients, and the app that a job runs in."""

import time

import pytest
from flask import current_app, g
from redis.exceptions import RedisError
from rq import Worker
from rq.job import Callback

from delivery import jobs
from delivery.notifications import alarm
from delivery.ops.worker import worker_of
from tests.notifications.conftest import on_sqlite


@pytest.fixture
def in_app(app):
    with app.app_context():
        yield app


@jobs.job
def remember():
    """A job that looks around."""
    g.seen = True
    return current_app.name, "job"


@on_sqlite
def test_a_job_has_an_app_context_of_its_own(in_app):
    g.seen = False
    assert remember()[1] == "job"
    assert g.seen is False


def test_outside_any_app_a_job_imports_flask_app(monkeypatch, tmp_path):
    (tmp_path / "some_wsgi_of_a_test.py").write_text("from flask import Flask\napp = Flask('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FLASK_APP", "some_wsgi_of_a_test:app")
    jobs._imported_app.cache_clear()
    try:
        assert remember() == ("imported", "job")
    finally:
        jobs._imported_app.cache_clear()


@on_sqlite
def test_after_a_failure_nobody_waits_for_redis_for_a_while(in_app, redis_server, monkeypatch):
    redis_server.kill()
    with pytest.raises(RedisError), jobs.brief_redis() as redis:
        redis.ping()
    redis_server.start()
    with pytest.raises(RedisError), jobs.brief_redis() as redis:
        redis.ping()
    later = time.monotonic() + jobs.BREAKER_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with jobs.brief_redis() as redis:
        assert redis.ping()


@on_sqlite
def test_the_webs_client_gives_up_at_once(in_app, redis_server):
    redis_server.freeze()
    began = time.monotonic()
    with pytest.raises(RedisError):
        jobs.redis_for_web().ping()
    assert time.monotonic() - began < 0.7


@on_sqlite
def test_the_workers_client_outlives_a_restart(in_app, redis_server):
    redis = jobs.redis_for_worker()
    assert redis.ping()
    redis_server.kill()
    redis_server.start()
    assert redis.ping()
    redis.close()


@on_sqlite
@pytest.mark.parametrize("trouble", ["kill", "freeze"])
def test_a_wake_never_raises_and_says_whether_it_was_heard(in_app, redis_server, trouble):
    assert alarm.wake("mail") is True
    assert alarm.wake("mail") is True
    getattr(redis_server, trouble)()
    assert alarm.wake("mail") is False
    alarm.answer("mail")


@on_sqlite
def test_a_full_redis_is_as_good_as_none(in_app, redis_server):
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        try:
            assert alarm.wake("mail") is False
        finally:
            client.config_set("maxmemory", "0")


@on_sqlite
def test_a_worker_calls_nothing_but_a_drain(in_app, redis_server, tmp_path, monkeypatch):
    path = tmp_path / "made"
    redis = jobs.redis_for_web()
    queue = jobs.queue("mail", redis=redis)
    callback = Callback("os.getlogin")
    called = []
    monkeypatch.setattr("os.getlogin", lambda *_: called.append("callback"))
    evil = queue.enqueue("os.mkdir", str(path), on_failure=callback, on_success=callback, result_ttl=60)
    drain = queue.enqueue(alarm.DRAIN, "mail", on_success=callback, result_ttl=60)
    worker_of("mail").work(burst=True, logging_level="CRITICAL")
    assert not path.exists()
    assert called == []
    assert (evil.get_status(), drain.get_status()) == ("failed", "finished")


@on_sqlite
def test_of_a_job_that_fails_redis_learns_the_kind_of_error_alone(in_app, monkeypatch, caplog):
    def fail(_channel):
        raise LookupError("ada@shop.example")

    monkeypatch.setattr(alarm, "answer", fail)
    drain = jobs.queue("mail", redis=jobs.redis_for_web()).enqueue(alarm.DRAIN, "mail", failure_ttl=60)
    worker_of("mail").work(burst=True, logging_level="CRITICAL")
    said = drain.latest_result().exc_string
    assert "JobFailed: LookupError" in said
    assert "ada@" not in said
    assert "job failed" in caplog.text


@on_sqlite
def test_a_pause_ends_when_the_process_is_asked_to(in_app):
    jobs.request_stop()
    began = time.monotonic()
    jobs.pause(5)
    assert time.monotonic() - began < 1


def test_a_worker_is_known_again_to_a_redis_that_has_lost_everything(app, redis_server):
    with app.app_context():
        worker = worker_of("mail")
        worker.register_birth()
        redis_server.flush()
        worker.heartbeat()
        try:
            [found] = Worker.all(connection=worker.connection)
            assert (found.name, found.queue_names(), found.pid) == (worker.name, ["mail"], worker.pid)
            assert Worker.count(queue=worker.queues[0]) == 1
        finally:
            worker.register_death()
