"""The OpenAPI document, built from the routes when somebody first asks for it."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_smorest
import orjson
from flask import Flask
from marshmallow import INCLUDE, fields

from delivery.web import Blueprint, Schema
from delivery.web.callers import policy_of
from delivery.web.rules import BOTH, LIVE, TESTS, Rule

_KEY = "delivery.openapi"
_DESCRIPTION = """
Delivery takes a delivery from order to doorstep, lets everybody concerned see where it is, and tells them.

Sign in with `POST /api/auth/login`, send the access token as `Authorization: Bearer ...`, and trade the refresh
token at `POST /api/auth/refresh` for the next ones. Programs send an API key in the token's place, where it has the
scope that the operation names. Errors are `application/problem+json` (RFC 9457). Changes need `If-Match`; an
`Idempotency-Key` makes a POST or PATCH safe to repeat.
"""
_PASSWORD_FLOW = {"tokenUrl": "/api/auth/login", "refreshUrl": "/api/auth/refresh", "scopes": {}}
_PAGE = {"text/html": {"schema": {"type": "string"}}}
_SECURITY_SCHEMES = {
    "password": {"type": "oauth2", "flows": {"password": _PASSWORD_FLOW}},
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "An access token, or an API key (`dms_live_...`, or `dms_test_...` for the sandbox): each operation says"
            " which scope it needs."
        ),
    },
}
_NO_KEY = "No API key may; a person must sign in."
_KEYS = {LIVE: "A live API key", TESTS: "Only a test key may call this; it", BOTH: "An API key, live or for tests,"}
_COUNT = {"type": "integer", "minimum": 0}
_LIMIT_HEADERS: dict[str, Any] = {
    "RateLimit-Limit": {"description": "Requests a minute.", "schema": _COUNT},
    "RateLimit-Remaining": {"description": "How many there is room for now.", "schema": _COUNT},
    "RateLimit-Reset": {"description": "Seconds until there is room for one more.", "schema": _COUNT},
}
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": _COUNT}


class FieldProblem(Schema):
    pointer = fields.String(required=True, metadata={"description": "JSON pointer to the wrong field (RFC 6901)."})
    code = fields.String(required=True)
    message = fields.String(required=True)


class Problem(Schema):
    """What every error answers with (RFC 9457); it only documents, web/problems.py builds the answers."""

    type = fields.String(required=True, metadata={"example": "urn:delivery:problem:validation_failed"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True, metadata={"description": "Stable; meant for machines."})
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(FieldProblem))

    class Meta:
        unknown = INCLUDE  # a kind of problem may have members of its own (RFC 9457, 3.2)


class _Api(flask_smorest.Api):
    """flask-smorest's Api, as the maker of the document; errors are answered by web/problems.py."""

    ERROR_SCHEMA = Problem

    def _register_error_handlers(self) -> None:
        pass

    def _register_responses(self) -> None:
        """Register each error status as a component, as problem+json."""
        errors = {status.name: status.phrase for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}
        for name, description in {**errors, self.DEFAULT_ERROR_RESPONSE_NAME: "Any other error"}.items():
            problem: dict[str, Any] = {"application/problem+json": {"schema": Problem}}
            for suffix, content in (("", problem), ("_OR_PAGE", problem | _PAGE)):
                response: dict[str, Any] = {"description": description, "content": content}
                limits = name == HTTPStatus.TOO_MANY_REQUESTS.name  # named by all, see _name_limits()
                if limits:
                    response["headers"] = {**_LIMIT_HEADERS, "Retry-After": _RETRY_AFTER}
                self.spec.components.response(f"{name}{suffix}", response, lazy=not limits)


def document(app: Flask) -> bytes:
    """Return the document of all routes of an app's blueprints, as JSON; built once."""
    if _KEY not in app.extensions:
        app.extensions[_KEY] = orjson.dumps(_build(app), option=orjson.OPT_INDENT_2)
    built: bytes = app.extensions[_KEY]
    return built


def _build(app: Flask) -> dict[str, Any]:
    options = {
        "title": "Delivery",
        "version": version(),
        "openapi_version": "3.1.0",
        "info": {"description": _DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in _SECURITY_SCHEMES],
        "components": {"securitySchemes": _SECURITY_SCHEMES},
    }
    api = _Api(app, spec_kwargs=options)
    for name, blueprint in app.blueprints.items():
        if isinstance(blueprint, Blueprint):
            blueprint.register_views_in_doc(api, app, api.spec, name=name, parameters=None)
            api.spec.tag({"name": name, "description": blueprint.description})
    built: dict[str, Any] = dict(api.spec.to_dict())
    built["components"]["headers"] = _LIMIT_HEADERS
    _add_policy(app, built["paths"])
    return built


def _add_policy(app: Flask, paths: dict[str, Any]) -> None:
    """Say of each operation who may call it, in words and for machines, and whether it is limited."""
    policy = {endpoint.replace("-", "_").replace(".", "_"): rule for endpoint, rule in policy_of(app).items()}
    for operations in paths.values():
        for operation in operations.values():
            if "operationId" in operation:
                rule = policy[operation["operationId"]]
                operation.update(_said(rule, operation.get("description")))
                if rule.limited:
                    _name_limits(operation["responses"])


def _name_limits(responses: dict[str, Any]) -> None:
    """Add what the general limits add to every answer."""
    responses.setdefault("429", {"$ref": "#/components/responses/TOO_MANY_REQUESTS"})
    for response in responses.values():
        if "$ref" not in response:
            named = {name: {"$ref": f"#/components/headers/{name}"} for name in _LIMIT_HEADERS}
            response.setdefault("headers", {}).update(named)


def _said(rule: Rule, description: str | None) -> dict[str, Any]:
    """Return `x-roles` (where not all may), `x-parts` (what one must be to it), `x-required-scope`, `x-modes`."""
    said: dict[str, Any] = {}
    if rule.roles is not None:
        said["x-roles"] = sorted(rule.roles)
    if rule.parts:
        said["x-parts"] = sorted(rule.parts)
    if rule.public and rule.scope is None:
        return said
    key = f"{_KEYS[rule.modes]} needs the scope `{rule.scope}`." if rule.scope else _NO_KEY
    words = f"{description}\n\n{key}" if description else key
    modes = sorted(rule.modes) if rule.scope else ["live"]
    return {**said, "x-required-scope": rule.scope, "x-modes": modes, "description": words}


def version() -> str:
    """Return the version in setup.cfg."""
    lines = (Path(__file__).parents[2] / "setup.cfg").read_text().splitlines()
    return next(line.partition("=")[2].strip() for line in lines if line.startswith("version"))
