"""Nothing about people, and no secret, in what is kept about the work: logs, Redis, outbox, attempts, audit log.

Everybody and everything gets a name that is found again; then all that can be done is done, rightly and wrongly. Only
what the console prints in development instead of sending it is exempt: nothing is printed here.
"""

import logging

import pytest
from redis import Redis

from delivery import audit, jobs
from delivery.database import transaction
from tests.canaries import crowd as flows
from tests.canaries.crowd import Crowd
from tests.canaries.places import leaks, redis_texts
from tests.canaries.words import Canaries
from tests.servers.system import RunningSystem


@pytest.fixture
def canaries():
    return Canaries()


@pytest.fixture(params=["json", "text"])
def said(request, capsys):
    """The form of the log, and a function that returns all that was logged, the libraries' debugging included."""
    root, all_said = logging.getLogger(), []
    before = root.level
    root.setLevel(logging.DEBUG)

    def read():
        all_said.append(capsys.readouterr().err)
        return "".join(all_said)

    yield request.param, read
    root.setLevel(before)


@pytest.fixture
def providers(smtp, twilio):
    return smtp, twilio


@pytest.fixture
def app(make_app, said, providers):
    smtp, twilio = providers
    return make_app(
        LOG_LEVEL="DEBUG", LOG_FORMAT=said[0],
        SMTP_HOST=smtp.host, SMTP_PORT=smtp.port, SMTP_TLS="none", MAIL_FROM="Delivery <no-reply@delivery.example>",
        SMS_PROVIDER="twilio", SMS_API_KEY=twilio.account, SMS_API_SECRET=twilio.token, SMS_FROM="+15005550006",
        TWILIO_BASE_URL=twilio.url,
    )  # fmt: skip


@pytest.fixture
def worked(app, canaries, providers, monkeypatch, travel):
    """All has been done."""
    smtp, twilio = providers
    crowd = Crowd(app, canaries)
    flows.break_workers(crowd, monkeypatch)
    flows.sign_up_and_in(crowd, smtp)
    flows.try_everything(crowd)
    flows.get_lost(crowd)
    flows.break_views(crowd, monkeypatch)
    flows.be_refused_by_providers(crowd, smtp, twilio, travel)


@pytest.mark.usefixtures("worked")
def test_what_is_kept_about_the_work_names_nobody(app, canaries, said, redis_server):
    logged = said[1]()
    assert "unexpected error" in logged
    assert "message permanent" in logged
    with redis_server.client() as redis:
        assert leaks(app, canaries, log=logged, redis=redis) == set()


@pytest.mark.parametrize(
    ("where", "leak"),
    [
        ("log", lambda address, _redis: logging.getLogger("delivery.users").info("welcome, %s", address)),
        ("redis", lambda address, redis: redis.set("greeted", address)),
        ("audit_entries", lambda address, _redis: audit.record("user.changed", object_type="user", email=address)),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_leak_is_found(app, canaries, said, where, leak):
    address = canaries.email("leaked")
    with app.app_context(), transaction(), jobs.brief_redis() as redis:
        leak(address, redis)
    found = leaks(app, canaries, log=said[1](), redis=redis)
    assert [label for _, label in found] == ["leaked"]
    assert where in str(found)


def test_a_new_field_must_be_named(canaries):
    with pytest.raises(AssertionError, match="is `shoe_size` about people"):
        canaries.value("shoe_size", {"type": "string"})


def test_the_whole_system_says_nothing_about_anybody(tmp_path, canaries, smtp):
    """The real processes: gunicorn refuses some requests by itself, and the worker is another process."""
    smtp.refuse_recipient("550 5.1.1 <nobody@canary.example> unknown", times=1)
    sender = {"MAIL_FROM": "no-reply@delivery.example", "SMTP_HOST": smtp.host, "SMTP_PORT": str(smtp.port)}
    system = RunningSystem(tmp_path, LOG_FORMAT="json", LOG_LEVEL="DEBUG", SMTP_TLS="none", **sender)
    try:
        system.wait_until_ready()
        for request in flows.raw_requests(canaries):
            flows.send_raw(system.port, request)
        smtp.wait_for(1)
        printed = system.output
        with Redis.from_url(f"unix://{next(tmp_path.glob('valkey.sock'))}") as redis:
            kept = list(redis_texts(redis))
    finally:
        system.stop()
    assert printed.count('"msg": "request"') > 5
    assert [line for line in (printed + system.output).splitlines() if canaries.found_in(line)] == []
    assert [where for where, content in kept if canaries.found_in(content)] == []
