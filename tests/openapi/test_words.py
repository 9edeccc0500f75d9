"""The document says in words what a caller must know, so that nobody needs another page to integrate."""

import json
import re

import pytest

from delivery.ops import openapi
from delivery.ops.document_sentences import OF_PROPERTIES, OF_SCHEMAS
from delivery.ops.document_words import OF_PARAMETERS, add_words
from tests.openapi.test_document import operations

# What policy says of who may call it, which every operation has.
WHO = re.compile(r"needs? the scope `|^No API key may")


@pytest.fixture
def document(app):
    return json.loads(openapi.document(app))


def described(document, one):
    named = document["components"]["schemas"].get(one.get("$ref", "").rpartition("/")[2], {})
    return bool(one.get("description") or named.get("description"))


def test_every_parameter_of_a_query_is_described(document):
    for path, method, operation in operations(document):
        for one in operation.get("parameters", ()):
            assert one["in"] != "query" or one.get("description"), (method, path, one["name"])


def test_every_property_is_described(document):
    schemas = document["components"]["schemas"]
    assert "DeliveryIn" in schemas
    for name, schema in schemas.items():
        for key, one in schema.get("properties", {}).items():
            assert described(document, one), f"{name}.{key}: say it in its metadata, or in document_sentences.py"


def test_every_operation_says_more_than_who_may_call_it(document):
    for path, method, operation in operations(document):
        if operation["security"]:
            own = [text for text in operation["description"].split("\n\n") if not WHO.search(text)]
            assert own, f"{method} {path}: say in its docstring what a caller must know"


def test_no_words_are_left_over(app, monkeypatch):
    used = set()
    monkeypatch.setattr(openapi, "add_words", lambda built: used.update(add_words(built)))
    monkeypatch.delitem(app.extensions, "delivery.openapi", raising=False)
    openapi.document(app)
    assert OF_PROPERTIES.keys() | OF_SCHEMAS.keys() | OF_PARAMETERS.keys() <= used


def test_a_change_says_what_it_replaces_whole(document):
    schemas, operation = document["components"]["schemas"], document["paths"]["/api/deliveries/{delivery_id}"]["patch"]
    nested = {
        name for name, one in schemas["DeliveryPatch"]["properties"].items() if {"$ref", "anyOf"} & one.keys()
    } | {"tags"}
    assert len(nested) > 6
    for name in nested:
        assert schemas["DeliveryPatch"]["properties"][name]["description"].startswith("Replaces"), name
        assert f"`{name}`" in operation["description"]
