"""Every error of every layer becomes one shape: RFC 9457 problem+json."""

import logging
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
from flask import Flask, Response, g, request
from gunicorn.http.errors import NoMoreData, ParseException
from marshmallow import INCLUDE, fields, validate
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    InvalidRequestError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, SecurityError, TooManyRequests

from delivery.errors import AppError, Conflict, Invalid, Malformed, Unavailable, problem
from delivery.web.body import ERRORS_AT_MOST
from delivery.web.schema import Schema, Text, Word

log = logging.getLogger("delivery.errors")

_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The request cannot be understood.",
    HTTPStatus.NOT_FOUND: "There is nothing here that you may see.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not know that method; `Allow` lists those it knows.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than this server accepts.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong here; it has been logged under this request_id.",
}


# InternalError: PostgreSQL is read-only, as after a fail-over. InvalidRequestError: no pooled connection is alive.
_OUTAGES = (OperationalError, InterfaceError, InternalError, InvalidRequestError, PoolTimeout)
_NOT_MIGRATED = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)


class FieldProblem(Schema):
    pointer = Text(
        10_000,
        required=True,
        metadata={"description": "JSON pointer to the wrong field (RFC 6901).", "example": "/recipient/name"},
    )
    code = Word(40, required=True, metadata={"example": "required"})
    message = Text(1000, required=True, metadata={"example": "Missing data for required field."})


class Problem(Schema):
    """What every error answers with (RFC 9457); it only documents, `respond` builds the answers."""

    type = Word(100, required=True, metadata={"example": "urn:delivery:problem:validation_failed"})
    title = Text(100, required=True, metadata={"example": "Unprocessable Entity"})
    status = fields.Integer(required=True, validate=validate.Range(400, 599), metadata={"example": 422})
    detail = Text(1000, required=True, metadata={"example": "Some fields are wrong; `errors` names each of them."})
    code = Word(
        60, required=True, metadata={"description": "Stable; meant for machines.", "example": "validation_failed"}
    )
    request_id = Word(64, required=True, metadata={"example": "0190a0a0000070008000000000000002"})
    errors = fields.List(fields.Nested(FieldProblem), validate=validate.Length(max=ERRORS_AT_MOST))

    class Meta:
        unknown = INCLUDE  # a kind of problem may have members of its own (RFC 9457, 3.2)


def init_app(app: Flask) -> None:
    """Answer every exception with a problem object."""
    app.register_error_handler(AppError, respond)
    app.register_error_handler(HTTPException, from_http_exception)
    app.register_error_handler(DBAPIError, _from_database)
    app.register_error_handler(PoolTimeout, _from_database)
    app.register_error_handler(InvalidRequestError, _from_database)
    app.register_error_handler(ParseException, _from_server)
    app.register_error_handler(NoMoreData, _from_server)
    app.register_error_handler(Exception, _unexpected)


def respond(error: AppError) -> Response:
    """Build the answer of an error, with its headers."""
    body = orjson.dumps(problem(error, request_id=g.get("request_id", "")))
    response = Response(body, status=error.status, mimetype="application/problem+json")
    response.headers.update(error.headers)
    response.headers["Cache-Control"] = "no-store"
    return response


def from_http_exception(error: HTTPException) -> Any:
    """Translate a framework's exception; its own headers (Allow, Retry-After, ...) survive."""
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error  # a redirect
    status = HTTPStatus(error.code)
    own = {name: value for name, value in error.get_headers() if name.lower() not in {"content-type", "content-length"}}
    if isinstance(error, TooManyRequests) and error.retry_after is not None:
        own.setdefault("Retry-After", str(error.retry_after))
    detail = _detail_of(error, status)
    translated = AppError(detail, code=status.name.lower(), headers=own)
    translated.status = status
    return respond(translated)


def _detail_of(error: HTTPException, status: HTTPStatus) -> str:
    if isinstance(error, SecurityError):
        return "The header `Host` names none of the hosts that are served here."
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE and (most := request.max_content_length):
        return f"The body is larger than the {most} bytes that this server accepts."
    return _DETAILS.get(status, f"{status.phrase}.")


def _from_server(_error: Exception) -> Response:
    """Answer a body that gunicorn cannot read, such as a malformed chunk; what follows on the line is no request."""
    return respond(Malformed("The body breaks off or is not valid HTTP.", headers={"Connection": "close"}))


def _from_database(error: Exception) -> Response:
    """Tell a busy or lost database from a value that it cannot store; never show the database's own text."""
    if isinstance(error, IntegrityError):
        log.warning("constraint refused a write", extra={"error_class": type(error.orig).__name__})
        return respond(Conflict("The change contradicts what is stored."))
    if isinstance(error, DataError):
        log.warning("value refused by the database", extra={"error_class": type(error.orig).__name__})
        return respond(Invalid("A value cannot be stored."))
    if isinstance(error, _OUTAGES) or isinstance(getattr(error, "orig", None), _NOT_MIGRATED):
        log.error("database unavailable", exc_info=error)
        return respond(Unavailable("The database is busy or cannot be reached; try again."))
    return _unexpected(error)


def _unexpected(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return respond(AppError(_DETAILS[HTTPStatus.INTERNAL_SERVER_ERROR]))
