"""The headers that a client acts by: the document names those that are sent, and those that it promises are sent."""

import json

import pytest

from delivery.ops.openapi import document as build
from delivery.policy import POLICY
from tests.auth.keys import made
from tests.calls import CALLS, CUSTOMER, Things, nobody
from tests.openapi.test_examples import credentials, operation_of

HEEDED = {
    "Content-Disposition", "ETag", "Idempotent-Replayed", "Location", "RateLimit-Limit", "RateLimit-Remaining",
    "RateLimit-Reset", "Retry-After", "WWW-Authenticate", "X-Request-ID",
}  # fmt: skip


def resolved(document, one):
    return document["components"][one["$ref"].split("/")[2]][one["$ref"].split("/")[3]] if "$ref" in one else one


def compare(document, operation, response):
    """Hold an answer's headers against those that the document names for its status."""
    status = str(response.status_code)
    assert status in operation["responses"], f"{operation['operationId']} does not name {status}: {response.text}"
    named = resolved(document, operation["responses"][status]).get("headers", {})
    sent = {name for name in HEEDED if name in response.headers}
    assert sent <= named.keys(), f"{operation['operationId']} {status} sends them unnamed"
    promised = {name for name, header in named.items() if resolved(document, header).get("required")}
    assert promised <= sent, f"{operation['operationId']} {status} lacks them"


@pytest.mark.parametrize("endpoint", sorted(CALLS))
def test_answers_have_the_headers_that_the_document_names(app, people, endpoint):
    document, operation = operation_of(app, endpoint)
    by = people.make(CALLS[endpoint].by or CUSTOMER)
    call = CALLS[endpoint].about(Things(people, by=by, of=CALLS[endpoint].of))
    api = credentials(app, endpoint, by)
    response = call.send(api)
    compare(document, operation, response)
    if call.method == "GET" and "ETag" in response.headers:
        seen = {"If-None-Match": response.headers["ETag"]}
        compare(document, operation, api.request("GET", call.path, headers=seen))


@pytest.fixture
def documented(app):
    return json.loads(build(app))


def test_whoever_may_not_is_told_why_as_the_document_says(app, people, documented):
    operation = documented["paths"]["/api/deliveries"]["get"]
    compare(documented, operation, nobody(app).get("/api/deliveries"))
    unscoped = made(people.customer(), scopes=["users:read"])
    response = nobody(app).get("/api/deliveries", headers={"Authorization": f"Bearer {unscoped['secret']}"})
    assert response.status_code == 403
    compare(documented, operation, response)


def test_a_stale_version_is_answered_as_the_document_says(people, documented):
    ada = people.customer()
    path = f"/api/deliveries/{ada.create()['id']}"
    response = ada.patch(path, json={"item_name": "Kettle"}, headers={"If-Match": '"9"'})
    assert response.status_code == 412
    compare(documented, documented["paths"]["/api/deliveries/{delivery_id}"]["patch"], response)


def test_every_operation_of_somebody_s_names_what_a_wrong_key_gets(documented):
    for path, operations in documented["paths"].items():
        for operation in operations.values():
            if isinstance(operation, dict) and "operationId" in operation:
                rule = {name.replace("-", "_").replace(".", "_"): one for name, one in POLICY.items()}
                assert rule[operation["operationId"]].public or "403" in operation["responses"], path
