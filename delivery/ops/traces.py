"""OpenTelemetry's spans, where OTEL_EXPORTER_OTLP_ENDPOINT names a collector: one for each request, job and letter.

They are our own and not the instrumentations', which put raw paths, queries and statements into spans: there are tokens
and people in those. Standard variables (OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS ...) are the SDK's to read.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request

from delivery import logs, spans
from delivery.ops.openapi import version
from delivery.ops.tallies import known_method
from delivery.web.requests import route_of

_SPAN = "delivery.span"


def init_app(app: Flask) -> None:
    """Send spans to the collector, if one is set; config_checks.py has seen to it that the packages are there."""
    if not app.config["OTEL_EXPORTER_OTLP_ENDPOINT"]:
        return
    tracer, kinds = _tracer(app)
    _follow_requests(app, tracer, kinds.SERVER)

    @contextmanager
    def follow(name: str) -> Iterator[None]:
        # An exception's text may be about people, and is recorded unless one says no.
        quiet = {"record_exception": False, "set_status_on_exception": False}
        with tracer.start_as_current_span(name, kind=kinds.CONSUMER, attributes=_cause(), **quiet) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                raise

    spans.follow(app, follow)


def _tracer(app: Flask) -> tuple[Any, Any]:
    """Return a tracer and the kinds of spans."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # an extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    about = {"service.version": version(), "vcs.ref.head.revision": app.config["GIT_REVISION"]}
    about |= {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "delivery"}
    provider = TracerProvider(resource=Resource.create(about))
    exporter = OTLPSpanExporter(endpoint=f"{app.config['OTEL_EXPORTER_OTLP_ENDPOINT']}/v1/traces")
    # Its thread is begun anew in forked children.
    provider.add_span_processor(BatchSpanProcessor(exporter))
    app.extensions["delivery.traces"] = provider
    return provider.get_tracer("delivery"), SpanKind


def _cause() -> dict[str, str]:
    request_id = logs.current_request_id()
    return {"delivery.request_id": request_id} if request_id else {}


def _follow_requests(app: Flask, tracer: Any, kind: Any) -> None:
    def begin() -> None:
        rule = route_of(request)
        method = known_method(request.method)
        attributes = {"http.request.method": method, "http.route": rule, **_cause()}
        request.environ[_SPAN] = tracer.start_span(f"{method} {rule}", kind=kind, attributes=attributes)

    def note(response: Response) -> Response:
        if span := request.environ.get(_SPAN):
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.set_attribute("error.type", str(response.status_code))
        return response

    def end(_error: BaseException | None) -> None:
        if span := request.environ.pop(_SPAN, None):
            span.end()

    app.before_request(begin)
    app.after_request(note)
    app.teardown_request(end)
