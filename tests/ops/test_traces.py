"""Traces: spans arrive at a collector, and nobody is in them. Without the packages of the extra `otel`: skipped."""

from importlib.util import find_spec

import pytest

from delivery.jobs import job
from delivery.notifications import jobs
from tests.notifications.conftest import Outbox, on_sqlite

pytestmark = pytest.mark.skipif(find_spec("opentelemetry") is None, reason="opentelemetry-sdk is not installed")
ADDRESS, TOKEN = "maria.rossi@example.org", "eyJhbGciOi.secret.token"


@pytest.fixture
def traced(make_app, collector):
    app = make_app(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}", GIT_REVISION="4f2c1aa")
    yield app
    app.extensions["delivery.traces"].shutdown()


def spans(app, collector):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

    app.extensions["delivery.traces"].force_flush()
    assert {path for path, *_ in collector.posted} == {"/v1/traces"}
    requests = [ExportTraceServiceRequest.FromString(body) for *_, body in collector.posted]
    return [
        (span, {one.key: one.value.string_value or one.value.int_value for one in span.attributes})
        for request in requests
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


@on_sqlite
def test_a_request_is_a_span_by_its_route(traced, collector):
    client = traced.test_client()
    client.get(
        f"/api/deliveries/0190a0a0-0000-7000-8000-000000000000?mail={ADDRESS}", headers={"X-Request-ID": "cause"}
    )
    client.open(f"/{TOKEN}", method="BREW-MARIA")
    (first, said), (second, _) = spans(traced, collector)
    assert first.name == "GET /api/deliveries/<uuid:delivery_id>"
    assert said == {
        "http.request.method": "GET",
        "http.route": "/api/deliveries/<uuid:delivery_id>",
        "http.response.status_code": 401,
        "delivery.request_id": "cause",
    }
    assert second.name == "other -"
    for hidden in (ADDRESS, TOKEN, "MARIA", "0190a0a0"):
        assert hidden.encode() not in b"".join(body for *_, body in collector.posted)


@on_sqlite
def test_an_error_is_named_without_its_words(traced, collector, monkeypatch):
    @job
    def broken():
        raise RuntimeError(ADDRESS)

    monkeypatch.setitem(traced.view_functions, "health.healthz", broken)
    assert traced.test_client().get("/healthz").status_code == 500
    (inner, said), (_, of_request) = spans(traced, collector)
    assert (inner.name, said["error.type"], of_request["error.type"]) == ("broken", "RuntimeError", "500")
    assert not inner.events
    assert ADDRESS.encode() not in b"".join(body for *_, body in collector.posted)


@on_sqlite
def test_the_sending_of_a_message_tells_which_request_caused_it(traced, collector):
    with traced.test_request_context(headers={"X-Request-ID": "the-cause"}):
        traced.preprocess_request()
        outbox = Outbox(traced)
        outbox.add_many(1)
    with traced.app_context():
        jobs.drain("mail")
    found = {span.name: (span, said) for span, said in spans(traced, collector)}
    sent, said = found["send mail"]
    assert said == {"delivery.request_id": "the-cause"}
    assert sent.trace_id == found["drain"][0].trace_id
    assert sent.parent_span_id == found["drain"][0].span_id


@on_sqlite
def test_a_collector_that_is_not_there_holds_nobody_up(make_app):
    app = make_app(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert app.test_client().get("/healthz").status_code == 200
    app.extensions["delivery.traces"].shutdown()
