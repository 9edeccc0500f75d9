"""The comparison of two documents names what breaks a client, and nothing that does not."""

import copy
import json

import pytest

from tests.openapi.changes import breaking
from tests.openapi.write import COMMITTED

CREATE = ("paths", "/api/deliveries", "post")
IN = ("components", "schemas", "DeliveryIn")
OUT = ("components", "schemas", "DeliveryOut")


@pytest.fixture(scope="module")
def document():
    return json.loads(COMMITTED.read_bytes())


def inside(document, *way):
    for step in way:
        document = document[step]
    return document


BREAKING = {
    "an operation goes": lambda d: d["paths"]["/api/deliveries"].pop("post"),
    "a path goes": lambda d: d["paths"].pop("/api/events"),
    "an operation has another name": lambda d: inside(d, *CREATE).update(operationId="x"),
    "an answer goes": lambda d: inside(d, *CREATE, "responses").pop("201"),
    "a header goes": lambda d: inside(d, *CREATE, "responses", "201", "headers").pop("Location"),
    "an answer's field goes": lambda d: inside(d, *OUT, "properties").pop("tags"),
    "an answer's field is not always there": lambda d: inside(d, *OUT, "required").remove("tags"),
    "an answer has one more state": lambda d: inside(d, *OUT, "properties", "status", "enum").append("melted"),
    "an answer's text is longer": lambda d: inside(d, *OUT, "properties", "item_name").update(maxLength=201),
    "an answer may be null": lambda d: inside(d, *OUT, "properties", "item_name").update(type=["string", "null"]),
    "a request's field is required": lambda d: inside(d, *IN, "required").append("reference"),
    "a request's field goes": lambda d: inside(d, *IN, "properties").pop("tags"),
    "a request's text is shorter": lambda d: inside(d, *IN, "properties", "item_name").update(maxLength=199),
    "a request's type changes": lambda d: inside(d, *IN, "properties", "item_name").update(type="integer"),
    "a request's pattern changes": lambda d: inside(d, *IN, "properties", "item_name").update(pattern="^a$"),
    "a parameter goes": lambda d: inside(d, "paths", "/api/deliveries", "get", "parameters").pop(0),
    "a parameter is required": lambda d: inside(d, "paths", "/api/deliveries", "get", "parameters")[0].update(
        required=True
    ),
    "a scope changes": lambda d: inside(d, *CREATE).update({"x-required-scope": "users:read"}),
    "a role is left out": lambda d: inside(d, *CREATE)["x-roles"].remove("customer"),
}
HARMLESS = {
    "nothing": lambda _: None,
    "a new operation": lambda d: d["paths"].update({"/api/new": {"get": {"operationId": "new", "responses": {}}}}),
    "a new field of a request": lambda d: inside(d, *IN, "properties").update(new={"type": "string"}),
    "a new field of an answer": lambda d: inside(d, *OUT, "properties").update(new={"type": "string"}),
    "a longer text of a request": lambda d: inside(d, *IN, "properties", "item_name").update(maxLength=201),
    "a shorter text of an answer": lambda d: inside(d, *OUT, "properties", "item_name").update(maxLength=199),
    "one state less in an answer": lambda d: inside(d, *OUT, "properties", "status", "enum").pop(),
    "other words": lambda d: inside(d, *CREATE).update(summary="x", description="y"),
}


@pytest.mark.parametrize("change", BREAKING)
def test_what_breaks_a_client_is_named(document, change):
    changed = copy.deepcopy(document)
    BREAKING[change](changed)
    assert breaking(document, changed)


@pytest.mark.parametrize("change", HARMLESS)
def test_what_breaks_nobody_is_not_named(document, change):
    changed = copy.deepcopy(document)
    HARMLESS[change](changed)
    assert breaking(document, changed) == set()
