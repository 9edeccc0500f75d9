"""The OpenAPI document, built from the routes when somebody first asks for it."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_smorest
import orjson
from flask import Flask

from delivery.ops.document_examples import add_examples
from delivery.ops.document_fields import limits_of
from delivery.ops.document_links import add_links
from delivery.ops.document_words import add_words
from delivery.web import Blueprint
from delivery.web.blueprint import FILES, PAGE
from delivery.web.callers import policy_of
from delivery.web.documented import header_references
from delivery.web.problems import Problem
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
_PAGE = {"text/html": {"schema": PAGE}}
_SIGNED = "A signed JWT (RFC 7519, as RFC8725 advises: one algorithm, a type, an issuer, an audience)."
_SECURITY_SCHEMES = {
    "password": {"type": "oauth2", "description": _SIGNED, "flows": {"password": _PASSWORD_FLOW}},
    "session": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": f"The access token of somebody who signed in. {_SIGNED} `x-roles` says whose.",
    },
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "dms_live_..., or dms_test_... for the sandbox",
        "description": "An API key in the token's place; `x-required-scope` says which scope it needs. Not a JWT, "
        "of which RFC8725 speaks: 256 random bits, kept as a hash.",
    },
}
_NO_KEY = "No API key may; a person must sign in."
_KEYS = {LIVE: "A live API key", TESTS: "Only a test key may call this; it", BOTH: "An API key, live or for tests,"}
_COUNT = {"type": "integer", "format": "int32", "minimum": 0, "maximum": 2**31 - 1}
_HEADERS: dict[str, Any] = {
    "RateLimit-Limit": {"description": "Requests a minute.", "schema": _COUNT},
    "RateLimit-Remaining": {"description": "How many there is room for now.", "schema": _COUNT},
    "RateLimit-Reset": {"description": "Seconds until there is room for one more.", "schema": _COUNT},
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": _COUNT},
    "Wait": {"description": "Seconds to wait, where that is known.", "schema": _COUNT},
    "X-Request-ID": {
        "description": "What the log knows this request by: the request's own X-Request-ID, where it had one.",
        "required": True,
        "schema": {"type": "string", "maxLength": 64, "pattern": "^[A-Za-z0-9_.:-]{1,64}$"},
    },
    "ETag": {
        "description": "The version, for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "maxLength": 12, "pattern": '^"[0-9]{1,10}"$'},
    },
    "Location": {
        "description": "Where the new thing is.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference", "maxLength": 200},
    },
    "Content-Disposition": {
        "description": "Whether to show or to keep the file, and the name it is to have.",
        "required": True,
        "schema": {"type": "string", "maxLength": 200, "pattern": "^(attachment|inline); filename="},
    },
    "WWW-Authenticate": {
        "description": "The challenge (RFC 6750): `Bearer`, and where known `error` and `scope`.",
        "schema": {"type": "string", "maxLength": 200, "pattern": "^Bearer"},
    },
    "Idempotent-Replayed": {
        "description": "`true`: the answer to the first request with this Idempotency-Key, once more.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
# Of errors, by their components' names; `Wait` is a Retry-After that is not always there.
_OF_ERRORS = {
    "UNAUTHORIZED": {"WWW-Authenticate": "WWW-Authenticate"},
    "FORBIDDEN": {"WWW-Authenticate": "WWW-Authenticate"},
    "CONFLICT": {"Retry-After": "Wait"},
    "PRECONDITION_FAILED": {"ETag": "ETag"},
    "SERVICE_UNAVAILABLE": {"Retry-After": "Wait"},
}
_LIMIT_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
# What may happen to any request, whatever it asks for: 400 is for a Host that is not ours, and for broken HTTP.
_FAILURES = (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)
_NAMES = frozenset(status.name for status in _FAILURES)
_PATH_LIMITS = {"uuid": {"minLength": 36, "maxLength": 36}, None: {"maxLength": 2000, "pattern": "^[^/]+$"}}


class _Api(flask_smorest.Api):
    """flask-smorest's Api, as the maker of the document; errors are answered by web/problems.py."""

    ERROR_SCHEMA = Problem

    def _register_error_handlers(self) -> None:
        pass

    def _register_responses(self) -> None:
        """Register each error status as a component, as problem+json."""
        self.ma_plugin.converter.add_attribute_function(limits_of)  # before the first schema
        errors = {status.name: status.phrase for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}
        for name, description in {**errors, self.DEFAULT_ERROR_RESPONSE_NAME: "Any other error"}.items():
            problem: dict[str, Any] = {"application/problem+json": {"schema": Problem}}
            for suffix, content in (("", problem), ("_OR_PAGE", problem | _PAGE)):
                response: dict[str, Any] = {"description": description, "content": content}
                named = name == HTTPStatus.TOO_MANY_REQUESTS.name or (name in _NAMES and not suffix)
                if name == HTTPStatus.TOO_MANY_REQUESTS.name:
                    response["headers"] = header_references(*_LIMIT_HEADERS, "Retry-After")
                self.spec.components.response(f"{name}{suffix}", response, lazy=not named)

    def _register_pagination_header(self) -> None:
        pass


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
        "info": {
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
            "contact": {"name": "Whoever runs this server"},
        },
        "servers": [
            {
                "url": "/",
                "description": "The server that sent this document: production, staging or local.",
                "x-internal": False,
            }
        ],
        "security": [{name: []} for name in _SECURITY_SCHEMES],
        "components": {"securitySchemes": _SECURITY_SCHEMES},
    }
    api = _Api(app, spec_kwargs=options)
    for name, blueprint in app.blueprints.items():
        if isinstance(blueprint, Blueprint):
            blueprint.register_views_in_doc(api, app, api.spec, name=name, parameters=None)
            api.spec.tag({"name": name, "description": blueprint.description})
    built: dict[str, Any] = dict(api.spec.to_dict())
    built["components"]["headers"] = _HEADERS
    _add_policy(app, built["paths"])
    for name, response in built["components"]["responses"].items():
        _name_headers(response, "X-Request-ID", *_LIMIT_HEADERS, **_OF_ERRORS.get(name.removesuffix("_OR_PAGE"), {}))
    _add_etags(built)
    add_words(built)
    add_examples(built)
    add_links(built["paths"])
    return built


def _add_policy(app: Flask, paths: dict[str, Any]) -> None:
    """Say of each operation who may call it, in words and for machines, and whether it is limited."""
    policy = {endpoint.replace("-", "_").replace(".", "_"): rule for endpoint, rule in policy_of(app).items()}
    for operations in paths.values():
        for one in operations.get("parameters", ()):
            one["schema"] |= _PATH_LIMITS[one["schema"].get("format")]
        for operation in operations.values():
            if "operationId" in operation:
                rule = policy[operation["operationId"]]
                operation.update(_said(rule, operation.get("description")))
                _complete(operation, limited=rule.limited)
                if not rule.public:  # a key may lack the scope, or be for the other world
                    operation["responses"].setdefault("403", {"$ref": "#/components/responses/FORBIDDEN"})


def _complete(operation: dict[str, Any], *, limited: bool) -> None:
    """Add what every answer has, and the answers that every request may get."""
    for one in operation.get("parameters", ()):
        if one["in"] == "query":
            _without_null(one["schema"])
    responses = operation["responses"]
    if limited:
        responses.setdefault("429", {"$ref": "#/components/responses/TOO_MANY_REQUESTS"})
    for failure in _FAILURES:
        responses.setdefault(str(int(failure)), {"$ref": f"#/components/responses/{failure.name}"})
    heeds_key = any(one.get("name") == "Idempotency-Key" for one in operation.get("parameters", ()))
    for status, response in responses.items():
        if "$ref" not in response:
            replayed = ("Idempotent-Replayed",) if heeds_key and status < "300" else ()
            _name_headers(response, "X-Request-ID", *(_LIMIT_HEADERS if limited else ()), *replayed)
            if status == "201":
                _name_headers(response, "Location")
            if any(media.get("schema") in FILES for media in response.get("content", {}).values()):
                _name_headers(response, "Content-Disposition")


def _without_null(schema: dict[str, Any]) -> None:
    """Take null out: whoever has nothing to say in a query leaves the parameter out."""
    if isinstance(schema.get("type"), list):
        schema["type"] = next(kind for kind in schema["type"] if kind != "null")
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    if schema.get("default", "") is None:
        del schema["default"]


def _add_etags(document: dict[str, Any]) -> None:
    """Say that one resource, which has a version, comes with an ETag."""
    schemas = document["components"]["schemas"]
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items() if "responses" in operation else ():
                media = response.get("content", {}).get("application/json", {}).get("schema", {})
                shown = schemas.get(media.get("$ref", "").rpartition("/")[2], {})
                if "version" in shown.get("properties", {}) or status == "304":
                    _name_headers(response, "ETag")


def _name_headers(response: dict[str, Any], *names: str, **components: str) -> None:
    response.setdefault("headers", {}).update(header_references(*names, **components))


def _said(rule: Rule, description: str | None) -> dict[str, Any]:
    """Return `x-roles` (where not all may), `x-parts` (what one must be to it), `x-required-scope`, `x-modes`."""
    said: dict[str, Any] = {}
    if rule.roles is not None:
        said["x-roles"] = sorted(rule.roles)
    if rule.parts:
        said["x-parts"] = sorted(rule.parts)
    if rule.public and rule.scope is None:
        return said
    if not rule.public:
        said["security"] = [{name: []} for name in _SECURITY_SCHEMES if _lets_in(rule, is_key=name == "api_key")]
    key = f"{_KEYS[rule.modes]} needs the scope `{rule.scope}`." if rule.scope else _NO_KEY
    words = f"{description}\n\n{key}" if description else key
    modes = sorted(rule.modes) if rule.scope else ["live"]
    return {**said, "x-required-scope": rule.scope, "x-modes": modes, "description": words}


def _lets_in(rule: Rule, *, is_key: bool) -> bool:
    """Tell whether keys may call it, or whoever signed in: they are no test key."""
    return rule.scope is not None if is_key else rule.modes != TESTS


def version() -> str:
    """Return the version in setup.cfg."""
    lines = (Path(__file__).parents[2] / "setup.cfg").read_text().splitlines()
    return next(line.partition("=")[2].strip() for line in lines if line.startswith("version"))
