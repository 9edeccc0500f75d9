"""The OpenAPI document: valid, complete, and true of what the API really answers."""

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from delivery.policy import POLICY

METHODS = {"get", "post", "patch", "delete", "put"}
PROBLEM = "application/problem+json"
PAGE = "text/html"
# What ends a credential must not fail because something else about it changed: If-Match is heeded at the most.
AT_ONCE = {
    "/api/auth/api-keys/{key_id}",
    "/api/users/{user_id}/api-keys",
    "/api/auth/sessions/{session_id}",
    "/api/users/{user_id}/sessions",
}


@pytest.fixture
def document(client):
    response = client.get("/openapi.json")
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    return response.json


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield path, method, operation


def statuses(operation):
    return {int(status) for status in operation["responses"] if status != "default"}


def test_the_document_is_valid(document):
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_documented(app, document):
    def written(rule):
        return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)

    pages = ("docs.", "static")
    served = {
        (written(rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith(pages) and not rule.endpoint.endswith(".static")
    }
    assert served == {(path, method) for path, method, _ in operations(document)}


def test_every_operation_says_what_it_is(document):
    found = list(operations(document))
    names = [operation["operationId"] for _, _, operation in found]
    assert len(set(names)) == len(names)
    for path, method, operation in found:
        assert operation["summary"].endswith("."), (method, path)
        assert operation["tags"], (method, path)
        assert operation["responses"]["default"], (method, path)


def test_an_operation_says_who_may_call_it(app, document):
    bound = app.url_map.bind("localhost")
    nobodys = "0190a0a0-0000-7000-8000-000000000000"
    for path, method, operation in operations(document):
        real = re.sub(r"{\w+}", nobodys, path)
        endpoint, _ = bound.match(real, method.upper())
        if app.view_functions[endpoint].access == "public":
            assert operation["security"] == [], (method, path)
        else:
            schemes = [scheme for one in operation["security"] for scheme in one]
            may_keys = POLICY[endpoint].scope is not None
            assert schemes == ["password", "session", *(["api_key"] if may_keys else [])], (method, path)
            assert 401 in statuses(operation), (method, path)


def test_an_operation_names_the_errors_that_its_parts_make(document):
    for path, method, operation in operations(document):
        expected = set()
        if "requestBody" in operation:
            expected |= {400, 413, 415, 422}
        parameters = operation.get("parameters", [])
        if any(parameter["in"] == "query" for parameter in parameters):
            expected |= {422}
        if any(parameter["name"] == "If-Match" and parameter["required"] for parameter in parameters):
            expected |= {400, 412, 428}
        if "{" in path and not path.startswith("/unsubscribe/"):  # a token is not found, it is bad
            expected |= {404}
        assert statuses(operation) >= expected, (method, path)


def test_a_change_names_the_headers_that_it_heeds(document):
    for path, method, operation in operations(document):
        names = {parameter["name"]: parameter["required"] for parameter in operation.get("parameters", [])}
        # A repeat is a 401, whatever its key.
        ends_the_session = path.startswith("/api/auth/logout") or path == "/api/auth/change-password"
        # Labels are read by POST; names are not kept where an erasure would not find them.
        only_reads = path == "/api/deliveries/labels"
        if operation["security"] and method in {"post", "patch"} and not (ends_the_session or only_reads):
            assert names["Idempotency-Key"] is False, (method, path)
        if path not in AT_ONCE and method in {"patch", "delete"}:
            assert names["If-Match"] is True, (method, path)


def test_an_operation_says_what_its_row_of_the_policy_says(document):
    for path, method, operation in operations(document):
        rule = {name.replace("-", "_").replace(".", "_"): rule for name, rule in POLICY.items()}[
            operation["operationId"]
        ]
        assert operation.get("x-roles") == (sorted(rule.roles) if rule.roles else None), (method, path)
        assert operation.get("x-parts") == (sorted(rule.parts) if rule.parts else None), (method, path)
        if rule.scope:
            assert operation["x-required-scope"] == rule.scope, (method, path)
            assert f"`{rule.scope}`" in operation["description"], (method, path)
        elif not rule.public:
            assert operation["x-required-scope"] is None, (method, path)
            assert "No API key may" in operation["description"], (method, path)
        else:
            assert "x-required-scope" not in operation, (method, path)


def test_every_error_is_a_problem(document):
    for name, response in document["components"]["responses"].items():
        assert response["content"].keys() - ({PAGE} if name.endswith("_OR_PAGE") else set()) == {PROBLEM}, name
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if path == "/readyz":  # its 503 is no error, but the report that was asked for
                continue
            if status == "default" or int(status) >= 400:
                assert "$ref" in response or PROBLEM in response["content"], (method, path, status)


def test_a_signing_in_is_documented_as_form_and_as_json(document):
    content = document["paths"]["/api/auth/login"]["post"]["requestBody"]["content"]
    assert content.keys() == {"application/json", "application/x-www-form-urlencoded"}
    flow = document["components"]["securitySchemes"]["password"]["flows"]["password"]
    assert (flow["tokenUrl"], flow["refreshUrl"]) == ("/api/auth/login", "/api/auth/refresh")
    content = document["paths"]["/api/auth/refresh"]["post"]["requestBody"]["content"]
    assert content.keys() == {"application/json", "application/x-www-form-urlencoded"}
