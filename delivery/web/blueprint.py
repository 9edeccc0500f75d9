"""flask-smorest, bent to our contract: our parser, our errors, answers that the view has already built."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

import flask_smorest
from flask import Flask
from marshmallow import fields
from werkzeug.exceptions import HTTPException

from delivery.web import problems
from delivery.web.body import Parser
from delivery.web.schema import Schema

View = TypeVar("View", bound=Callable[..., Any])
PROBLEM_TYPE = "application/problem+json"


class FieldProblem(Schema):
    pointer = fields.String(required=True, metadata={"description": "JSON pointer to the wrong field (RFC 6901)."})
    code = fields.String(required=True)
    message = fields.String(required=True)


class Problem(Schema):
    """What every error answers with (RFC 9457); it only documents, problems.py builds the answers."""

    type = fields.String(required=True, metadata={"example": "urn:delivery:problem:validation_failed"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True, metadata={"description": "Stable; meant for machines."})
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(FieldProblem))


class Api(flask_smorest.Api):
    """flask-smorest's Api with RFC 9457 errors, in answers and in the document."""

    ERROR_SCHEMA = Problem

    def __init__(self, app: Flask) -> None:
        super().__init__(app)

    def handle_http_exception(self, error: HTTPException) -> Any:
        return problems.from_http_exception(error)

    def _register_responses(self) -> None:
        """Register each error status as a component, as problem+json."""
        for status in [*HTTPStatus, None]:
            if status is not None and status < HTTPStatus.BAD_REQUEST:
                continue
            name = status.name if status else self.DEFAULT_ERROR_RESPONSE_NAME
            description = status.phrase if status else "Any other error"
            content = {PROBLEM_TYPE: {"schema": Problem}}
            self.spec.components.response(name, {"description": description, "content": content}, lazy=True)


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose decorators document and parse; views build their own answers.

    flask-smorest would dump each answer with Marshmallow and jsonify it: several times the cost of the view.
    """

    ARGUMENTS_PARSER = Parser()
    PAGINATION_HEADER_NAME = None
    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING: ClassVar[dict[str, str]] = {
        **flask_smorest.Blueprint.DEFAULT_LOCATION_CONTENT_TYPE_MAPPING,
        "json_or_form": "application/json",
    }

    def arguments(self, schema: Any, *, location: str = "json", **options: Any) -> Callable[[View], View]:
        """Parse the request with a schema and hand the result to the view; `json_or_form` takes either body."""
        decorate = super().arguments(schema, location=location, **options)
        if location != "json_or_form":
            return decorate  # type: ignore[no-any-return]
        as_form = self.doc(requestBody={"content": {"application/x-www-form-urlencoded": {"schema": schema}}})
        return lambda view: as_form(decorate(view))

    def response(self, status_code: int, schema: Any = None, **options: Any) -> Callable[[View], View]:
        return _only_document(super().response(status_code, schema, **options))

    def alt_response(self, status_code: int, response: str | None = None, **options: Any) -> Callable[[View], View]:
        return _only_document(super().alt_response(status_code, response, **options))

    def errors(self, *statuses: int) -> Callable[[View], View]:
        """Document which errors an operation answers with."""

        def decorate(view: View) -> View:
            for status in statuses:
                view = self.alt_response(status, HTTPStatus(status).name)(view)
            return view

        return decorate

    def doc(self, **description: Any) -> Callable[[View], View]:  # static there
        return _only_document(flask_smorest.Blueprint.doc(**description))

    def route(self, rule: str, *, methods: tuple[str, ...] = ("GET",), **options: Any) -> Callable[[View], View]:
        """Register a view; its operationId is the view's name and the blueprint's, unique by construction."""

        def decorate(view: View) -> View:
            named = self.doc(operationId=f"{self.name.replace('-', '_')}_{view.__name__}")(view)
            decorated: View = super(Blueprint, self).route(rule, methods=list(methods), **options)(named)
            return decorated

        return decorate


def _only_document(decorator: Callable[[View], Any]) -> Callable[[View], View]:
    """Take a decorator's documentation and leave out its wrapper, which each request would run through."""

    def decorate(view: View) -> View:
        view._apidoc = decorator(view)._apidoc  # type: ignore[attr-defined]  # noqa: SLF001  # flask-smorest's own place
        return view

    return decorate
