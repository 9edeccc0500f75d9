"""/metrics: true, in Prometheus's format, for those who run this and nobody else."""

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rq import Worker
from sqlalchemy import insert, update

from delivery import jobs as delivery_jobs
from delivery.database import db, now
from delivery.notifications import alarm, heartbeat, jobs
from delivery.notifications.channels import Failure
from delivery.notifications.models import Breaker, OutboxAttempt
from delivery.notifications.states import Outcome
from tests.conftest import METRICS_TOKEN
from tests.notifications.conftest import Outbox, on_sqlite, put
from tests.web.answers import problem

BEARER = {"Authorization": f"Bearer {METRICS_TOKEN}"}


@pytest.fixture
def outbox(app):
    with app.app_context():
        yield Outbox(app)


def scraped(app, **options):
    """{(name, labels): value} of one scrape."""
    response = app.test_client().get("/metrics", headers=BEARER, **options)
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain; version=0.0.4")
    return {
        (sample.name.removeprefix("delivery_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_an_empty_outbox_is_all_zeros(app, redis_server):
    redis_server.flush()
    found = scraped(app)
    assert found["outbox_due", "mail"] == found["outbox_oldest_pending_seconds", "sms"] == 0
    assert found["redis_up",] == 1
    assert found["sweep_heartbeat_age_seconds",] == float("inf")
    assert any(name[0] == "build_info" for name in found)
    assert not any(name[0] == "outbox_messages" for name in found)


def test_it_counts_what_the_outbox_holds(app, outbox, travel):
    outbox.mail.failures.append(Failure("smtp_451", "later"))
    outbox.add_many(3)
    jobs.deliver("mail", seconds=20)
    put(outbox, "dead")
    put(outbox, "pending", channel="sms")
    heartbeat.beat()
    travel(seconds=20)
    found = scraped(app)
    assert found["outbox_messages", "mail", "pending"] == found["outbox_messages", "mail", "dead"] == 1
    assert ("outbox_messages", "mail", "sent") not in found
    assert (found["outbox_due", "sms"], found["outbox_due", "mail"]) == (1, 0)
    assert found["outbox_oldest_pending_seconds", "sms"] == pytest.approx(20, abs=3)
    assert found["outbox_recent_attempts", "mail", "sent"] == 2
    assert found["outbox_recent_attempts", "mail", "temporary"] == 1
    assert found["sweep_heartbeat_age_seconds",] == pytest.approx(20, abs=3)
    travel(minutes=6)
    assert ("outbox_recent_attempts", "mail", "sent") not in scraped(app)


def test_it_tells_which_breakers_are_open(app):
    rows = [("mail:smtp", 12, now(plus=30)), ("sms:twilio", 10, now(plus=-1)), ("webhook:x", 3, None)]
    with app.app_context(), db.engine.begin() as connection:
        for key, failures, until in rows:
            values = {"key": key, "failures": failures, "paused_until": until, "changed_at": now()}
            connection.execute(insert(Breaker.__table__).values(values))
    found = scraped(app)
    assert [found["breaker_open", key] for key, _, _ in rows] == [1, 0, 0]
    assert [found["breaker_failures", key] for key, _, _ in rows] == [12, 10, 3]


@on_sqlite
def test_without_redis_the_rest_is_told(make_app, tmp_path):
    found = scraped(make_app(REDIS_URL=f"unix://{tmp_path}/nobody.sock"))
    assert found["redis_up",] == 0
    assert ("sweep_heartbeat_age_seconds",) not in found
    assert found["outbox_due", "mail"] == 0


@on_sqlite
def test_with_a_token_set_nothing_else_opens_it(client, people):
    for given in ("", "Bearer", "Bearer x", f"Basic {METRICS_TOKEN}", f"Bearer {METRICS_TOKEN}x", "Bearer \u00fc"):
        response = client.get("/metrics", headers={"Authorization": given})
        problem(response, 401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    problem(people.admin().get("/metrics"), 401)
    assert client.get("/metrics", headers={"Authorization": f"bearer  {METRICS_TOKEN}"}).status_code == 200


@on_sqlite
def test_without_a_token_it_is_for_this_machine_alone(make_app):
    app = make_app(METRICS_TOKEN="")
    for address, headers, status in [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("10.0.0.1", {}, 403),
        ("", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 403),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1"}, 403),
        ("127.0.0.1", {"Via": "1.1 proxy"}, 403),
    ]:
        found = app.test_client().get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})
        assert found.status_code == status, (address, headers)


@on_sqlite
def test_a_proxy_in_front_does_not_make_the_world_local(make_app):
    app = make_app(METRICS_TOKEN="", PROXY_HOPS=1)
    headers = {"X-Forwarded-For": "127.0.0.1"}
    assert app.test_client().get("/metrics", headers=headers).status_code == 403


def test_how_long_providers_took_is_told_in_buckets(app, outbox):
    with app.app_context():
        outbox.mail.failures.append(Failure("smtp_451", "later"))
        outbox.add_many(3)
        jobs.deliver("mail", seconds=20)
        with db.engine.begin() as connection:
            moved = update(OutboxAttempt).where(OutboxAttempt.outcome == "temporary")
            connection.execute(moved.values(handoff_at=now(plus=-7), ended_at=now(plus=-3)))
    found = scraped(app)
    name = "outbox_recent_attempt_seconds_bucket"
    bounds = {key[2]: value for key, value in found.items() if key[0] == name}
    assert {len(key) for key in found if key[0] == name} == {4}
    assert (bounds["2.5"], bounds["5.0"], bounds["+Inf"]) == (2, 3, 3)


def test_an_attempt_that_nobody_answered_says_nothing_of_the_provider(app, outbox):
    failure = Failure("broke", "who knows")
    failure.outcome = Outcome.UNCERTAIN
    outbox.mail.failures.append(failure)
    outbox.add_many(1)
    jobs.deliver("mail", seconds=20)
    found = scraped(app)
    assert found["outbox_recent_attempts", "mail", "uncertain"] == 1
    assert not any(key[0].startswith("outbox_recent_attempt_seconds") for key in found)


def test_queues_and_workers_are_told_as_redis_has_them(app, redis_server, travel):
    redis_server.flush()
    with app.app_context():
        redis = delivery_jobs.redis_for_worker()  # RQ gives it more patience
        queue = delivery_jobs.queue("mail", redis=redis)
        worker = Worker([queue], connection=redis)
        worker.register_birth()
        worker.set_state("idle")
        for _ in range(2):
            delivery_jobs.enqueue("mail", alarm.DRAIN, "mail", redis=redis)
        first = queue.get_jobs()[0]
        first.enqueued_at -= timedelta(seconds=90)
        first.save()
    travel(seconds=1000)  # no job waits longer because a test moves the time
    found = scraped(app)
    assert (found["queue_jobs", "mail"], found["queue_jobs", "sms"]) == (2, 0)
    assert found["queue_oldest_job_seconds", "mail"] == pytest.approx(90, abs=5)
    assert found["queue_oldest_job_seconds", "sms"] == found["queue_failed_jobs", "mail"] == 0
    assert [found["workers", "mail", state] for state in ("idle", "busy")] == [1, 0]
    assert [found["workers", "sms", state] for state in ("idle", "busy")] == [0, 0]
    with app.app_context():
        redis.delete(first.key)  # expired in the queue
    assert scraped(app)["queue_oldest_job_seconds", "mail"] == 0


def test_it_tells_which_commit_runs(make_app):
    (build,) = (key for key in scraped(make_app(GIT_REVISION="4f2c1aa")) if key[0] == "build_info")
    assert "4f2c1aa" in build
