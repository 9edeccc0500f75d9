"""What the document shows is real: its requests are sent, its answers are compared with its own schemas.

A new endpoint needs nothing here but its row in tests/calls.py, and examples on the fields of its schemas.
"""

import io
import json
import re
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from delivery.ops.openapi import document as build
from delivery.policy import POLICY
from delivery.web.rules import TESTS
from tests.auth.keys import sandbox_of
from tests.calls import CALLS, CUSTOMER, FileCall, SignedCall, Things, nobody
from tests.factories import PASSWORD

JSON = "application/json"
# What no document can show, because it is made for one account or has to be of today: what a test takes in its place.
LIVE = {("auth.login", "username"): "{address}"}
# What tests/calls.py has in the place of an id, somewhere in a value.
PLACE = re.compile(r"{\w+}")
# Of one page of one list.
OF_A_PAGE = {"cursor"}


def operation_of(app, endpoint):
    name = endpoint.replace("-", "_").replace(".", "_")
    built = json.loads(build(app))
    found = [one for path in built["paths"].values() for one in path.values() if isinstance(one, dict)]
    return built, next(one for one in found if one.get("operationId") == name)


def schema_in(document, schema):
    return {**schema, "components": document["components"]}


def violations(document, schema, value):
    checker = Draft202012Validator(schema_in(document, schema), format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(value)]


def bodies(document, operation):
    """Each example of each kind of body that an operation takes."""
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        schema = document["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
        yield from ((kind, example) for example in schema["examples"])


def made_live(endpoint, call, example):
    """Put a test's own accounts, tokens and passwords in the place of those that the document shows."""
    sent = (call.form if isinstance(call, SignedCall) else call.json) or {}
    own = {name: value for name, value in sent.items() if value == PASSWORD or PLACE.search(str(value))}
    live = {name: value for (whose, name), value in LIVE.items() if whose == endpoint}
    return {name: live.get(name, own.get(name, value)) for name, value in example.items()}


def credentials(app, endpoint, person):
    """The API as an endpoint wants to be called: by somebody, with their test key, or by nobody."""
    if POLICY[endpoint].modes == TESTS:
        return sandbox_of(person)
    return person if CALLS[endpoint].by else nobody(app)


def send(app, people, endpoint, kind, example):
    call = CALLS[endpoint]
    by = people.make(call.by or CUSTOMER)
    live = made_live(endpoint, call, example)
    if isinstance(call, SignedCall):
        return replace(call, form=live).about(Things(people, by=by)).send(nobody(app))
    call = replace(call, json=live).about(Things(people, by=by, of=call.of))
    body = {"json": call.json} if kind == JSON else {"data": parts_of(call), "content_type": kind}
    return credentials(app, endpoint, by).request(call.method, call.path, headers=call.headers, buffered=True, **body)


def parts_of(call):
    """What a form sends; the one with a file has options, too, as JSON."""
    if not isinstance(call, FileCall):
        return call.json
    file = (io.BytesIO(call.json["file"].encode()), "orders.csv")
    return {name: file if name == "file" else json.dumps(value) for name, value in call.json.items()}


@pytest.mark.parametrize("endpoint", sorted(CALLS))
def test_the_document_s_requests_are_taken_and_answered_as_it_says(app, people, endpoint):
    document, operation = operation_of(app, endpoint)
    for kind, example in bodies(document, operation):
        response = send(app, people, endpoint, kind, example)
        status = str(response.status_code)
        assert status.startswith("2"), f"{endpoint} refuses its own {kind} example {example}: {response.text}"
        assert status in operation["responses"], f"{endpoint} answers {status}, which it does not name"
        media = operation["responses"][status].get("content", {})
        assert response.mimetype in media or not response.data, f"{endpoint} answers with {response.mimetype}"
        if response.mimetype == JSON:
            assert violations(document, media[JSON]["schema"], response.json) == [], endpoint


@pytest.mark.parametrize("endpoint", sorted(name for name, call in CALLS.items() if call.method == "GET"))
def test_the_document_s_filters_are_taken(app, people, endpoint):
    _, operation = operation_of(app, endpoint)
    call = CALLS[endpoint]
    by = people.make(call.by or CUSTOMER)
    call = call.about(Things(people, by=by, of=call.of))
    by = credentials(app, endpoint, by)
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query" and parameter["name"] not in OF_A_PAGE:
            value = an_example(parameter)
            response = by.get(
                call.path.partition("?")[0],
                query_string={parameter["name"]: value},
                headers=call.headers,
                buffered=True,
            )
            assert response.status_code == 200, f"{endpoint}?{parameter['name']}={value}: {response.text}"


def an_example(parameter):
    schema = parameter["schema"]
    schema = schema.get("items", schema)
    if "example" in schema:
        return schema["example"]
    known = [one for one in schema.get("enum", ()) if one is not None]
    if known:
        return known[0]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    for kind, value in (("boolean", "true"), ("integer", schema.get("default", 1))):
        if kind in kinds:
            return value
    of_format = {"uuid": "0190a0a0-0000-7000-8000-000000000001", "date-time": "2026-03-01T09:30:00Z"}
    assert schema.get("format") in of_format, f"the parameter {parameter['name']} needs an example in its metadata"
    return of_format[schema["format"]]


def test_every_example_is_what_its_schema_says(app):
    document, _ = operation_of(app, "health.healthz")
    shown = 0
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            assert violations(document, schema, example) == [], name
            shown += 1
        for field, inner in schema.get("properties", {}).items():
            if "example" in inner:
                assert violations(document, inner, inner["example"]) == [], f"{name}.{field}"
    assert shown > 50


def test_everything_has_its_limits(app):
    """A schema's own test, for whoever has no Node: scripts/lint-openapi asks the same and more."""
    document, _ = operation_of(app, "health.healthz")
    for place, schema in schemas_in(document, ""):
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if "string" in kinds:
            assert {"maxLength", "enum", "const"} & schema.keys(), f"{place}: say how long it may be (Line, Text, Word)"
        if "integer" in kinds:
            assert {"minimum", "maximum"} <= schema.keys(), f"{place}: say how large it may be (Whole)"
        if "array" in kinds:
            assert "maxItems" in schema, f"{place}: say how many there may be (validate.Length)"


def schemas_in(value, place):
    if isinstance(value, dict):
        if isinstance(value.get("type"), str | list) and not {"flows", "scheme"} & value.keys():
            yield place, value
        for name, inner in value.items():
            if name not in {"example", "examples"}:
                yield from schemas_in(inner, f"{place}/{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from schemas_in(inner, f"{place}/{index}")
