"""/metrics: true, in Prometheus's format, for those who run this and nobody else."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from delivery.database import db, now
from delivery.notifications import heartbeat, jobs
from delivery.notifications.channels import Failure
from delivery.notifications.models import Breaker
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
