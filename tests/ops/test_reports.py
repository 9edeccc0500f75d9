"""Errors to Sentry: they arrive, and nothing about people does. Without the package of the extra `sentry`: skipped."""

import json
import logging
from importlib.util import find_spec

import pytest

from config_checks import COMPLETE_RULES
from delivery.errors import NotFound
from delivery.jobs import JobFailed, job
from tests.notifications.conftest import on_sqlite
from tests.settings import refused

ADDRESS, TOKEN, NUMBER = "maria.rossi@example.org", "eyJhbGciOi.secret.token", "+4915112345678"
needs_sentry = pytest.mark.skipif(find_spec("sentry_sdk") is None, reason="sentry-sdk is not installed")


@pytest.fixture
def reporting(make_app, collector):
    handlers = logging.root.handlers[:]
    app = make_app(SENTRY_DSN=f"http://abc123@{collector.address}/7", GIT_REVISION="4f2c1aa")
    yield app
    app.extensions["delivery.reports"].close()
    logging.root.handlers[:] = handlers


def events(app, collector):
    """The events that have arrived, out of the envelopes of Sentry's protocol."""
    app.extensions["delivery.reports"].flush(timeout=5)
    found = []
    for path, _, body in collector.posted:
        assert path == "/api/7/envelope/"
        _, header, item = body.split(b"\n")[:3]
        assert json.loads(header)["type"] == "event"
        found.append(json.loads(item))
    return found


def fail():
    secret = f"{ADDRESS} {TOKEN}"
    raise RuntimeError(f"no such mailbox: {secret}")


@needs_sentry
@on_sqlite
def test_an_unexpected_error_arrives_without_anything_about_people(reporting, collector, monkeypatch):
    monkeypatch.setitem(reporting.view_functions, "auth.login", fail)
    answer = reporting.test_client().post(
        f"/api/auth/login?token={TOKEN}",
        json={"email": ADDRESS, "password": "hush-7d1f", "phone": NUMBER},
        headers={"Authorization": f"Bearer {TOKEN}", "Cookie": f"a={TOKEN}", "X-Request-ID": "the-cause"},
        environ_base={"REMOTE_ADDR": "198.51.100.77"},
    )
    assert answer.status_code == 500
    (event,) = events(reporting, collector)
    assert event["transaction"] == "POST /api/auth/login"
    assert event["tags"] == {"request_id": "the-cause"}
    assert (event["release"], event["message"]) == ("4f2c1aa", "unexpected error")
    (error,) = event["exception"]["values"]
    assert (error["type"], error["stacktrace"]["frames"][-1]["function"]) == ("RuntimeError", "fail")
    everything = b"".join(str(headers).encode() + body for _, headers, body in collector.posted).decode()
    for hidden in (ADDRESS, "maria", TOKEN, NUMBER, "hush-7d1f", "198.51.100.77", "no such mailbox", "token="):
        assert hidden not in everything, hidden


@needs_sentry
@on_sqlite
def test_what_the_client_adds_is_cut_off(reporting, collector):
    import sentry_sdk  # noqa: PLC0415  # an extra

    scope = sentry_sdk.get_isolation_scope()
    scope.set_user({"email": ADDRESS})
    scope.set_extra("body", NUMBER)
    sentry_sdk.add_breadcrumb(message=TOKEN)
    try:
        logging.getLogger("delivery.jobs").error("job failed", exc_info=NotFound(ADDRESS))
    finally:
        scope.clear()
    (event,) = events(reporting, collector)
    assert not event.keys() & {"user", "extra", "breadcrumbs", "request", "contexts", "server_name", "modules"}
    assert not any(hidden in str(event) for hidden in (ADDRESS, NUMBER, TOKEN))


@needs_sentry
@on_sqlite
def test_a_library_that_fails_is_named_without_its_words(reporting, collector):
    try:
        fail()
    except RuntimeError as error:
        logging.getLogger("rq.worker").exception("job of %s: " + ADDRESS, NUMBER)  # noqa: G003
        logging.getLogger("delivery.x").error(error, exc_info=error)  # noqa: TRY400
    first, second = events(reporting, collector)
    assert (first["message"], second["message"]) == ("rq.worker", "delivery.x")
    assert ADDRESS not in str(collector.posted)


@needs_sentry
@on_sqlite
def test_a_job_that_fails_arrives_with_its_causes(reporting, collector, monkeypatch):
    @job
    def broken():
        try:
            fail()
        except RuntimeError as error:
            raise ValueError(ADDRESS) from error

    monkeypatch.setattr("delivery.jobs.get_current_job", lambda: type("Job", (), {"id": "j-1"}))
    with reporting.app_context(), pytest.raises(JobFailed):
        broken()
    (event,) = events(reporting, collector)
    assert event["tags"] == {"job_id": "j-1"}
    assert [one["type"] for one in event["exception"]["values"]] == ["RuntimeError", "ValueError"]


@needs_sentry
@on_sqlite
def test_what_is_only_a_warning_or_an_answer_is_not_reported(reporting, collector):
    client = reporting.test_client()
    assert client.get("/nowhere").status_code == 404
    assert client.post("/api/auth/login", json={}).status_code == 422
    logging.getLogger("delivery.jobs").error("without an exception")
    logging.getLogger("sentry_sdk.errors").error("mine", exc_info=RuntimeError())
    assert events(reporting, collector) == []


@needs_sentry
@on_sqlite
def test_a_sentry_that_is_not_there_holds_nobody_up(make_app, monkeypatch):
    app = make_app(SENTRY_DSN="http://abc123@127.0.0.1:1/7")
    monkeypatch.setitem(app.view_functions, "health.healthz", fail)
    handlers = logging.root.handlers[:]
    try:
        assert app.test_client().get("/healthz").status_code == 500
    finally:
        app.extensions["delivery.reports"].close(timeout=0)
        logging.root.handlers[:] = handlers


@on_sqlite
def test_by_itself_nothing_is_reported(app):
    assert "delivery.reports" not in app.extensions
    assert "delivery.traces" not in app.extensions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SENTRY_DSN", "https://abc123@sentry.example.com/1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.com"),
    ],
)
def test_an_address_without_its_package_is_one_line(name, value, monkeypatch):
    monkeypatch.setattr("config_checks.find_spec", lambda _: None)
    assert list(refused({name: value})) == [name]
    assert "to be installed" in refused({name: value})[name]
    assert name in {rule.name for rule in COMPLETE_RULES}
