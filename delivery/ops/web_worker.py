"""gunicorn's threaded worker, which answers in the API's own shape what gunicorn refuses, and hangs up on nobody."""

import logging
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import orjson
from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from delivery import logs
from delivery.database import new_id
from delivery.errors import AppError, problem

log = logging.getLogger("delivery.errors")

_MALFORMED = (HTTPStatus.BAD_REQUEST, "bad_request", "The request cannot be understood.")
_FAILED = (HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong here; it has been logged.")
# The first that fits; whatever else gunicorn's parser raises is a malformed request.
_ANSWERS = {
    errors.InvalidResponseHeader: _FAILED,
    errors.InvalidResponseHeaderName: _FAILED,
    errors.ConfigurationProblem: _FAILED,
    errors.LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The address is too long."),
    errors.LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "The headers are too many or too long.",
    ),
    errors.ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "expectation_failed", "`Expect` asks too much."),
    errors.UnsupportedTransferCoding: (HTTPStatus.NOT_IMPLEMENTED, "not_implemented", "Send the body as it is."),
    errors.ForbiddenProxyRequest: (HTTPStatus.FORBIDDEN, "forbidden", "This server is no proxy."),
    errors.ParseException: _MALFORMED,
}


class ProblemWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn brings no types
    """Answers as the rest of the API does (RFC 9457), where gunicorn would answer with HTML."""

    sockets: list[Any]

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001  gunicorn's
        super().set_accept_enabled(enabled)
        if not self.alive:
            self._close_the_door()

    def _close_the_door(self) -> None:
        """Let in whoever has knocked, then close the port: others are refused, and may safely ask another instance.

        gunicorn would leave it open until the last request is answered, and hang up on whoever had come meanwhile.
        """
        for listener in self.sockets:
            before = None
            while self.nr_conns != before:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
        self.sockets = []

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Log and answer what never reached the app, or what the app could not answer; the connection then ends."""
        answers = (answer for kind, answer in _ANSWERS.items() if isinstance(exc, kind))
        status, code, detail = next(answers, _FAILED)
        error = AppError(detail, code=code)
        error.status = status
        request_id = new_id().hex
        with logs.bound(request_id=request_id):
            if status == HTTPStatus.INTERNAL_SERVER_ERROR:
                log.error("unexpected error in the web server", exc_info=exc)
            else:
                log.warning("request refused", extra={"status": status.value, "error_class": type(exc).__name__})
        with suppress(OSError):  # whoever asked has gone
            util.write_nonblock(client, _written(error, request_id=request_id))


def _written(error: AppError, *, request_id: str) -> bytes:
    body = orjson.dumps(problem(error, request_id=request_id))
    head = (
        f"HTTP/1.1 {error.status.value} {error.status.phrase}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        f"X-Request-ID: {request_id}",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
    )
    return "\r\n".join((*head, "", "")).encode() + body
