"""Our way through a schema's fields finds what marshmallow's finds: the same values, the same errors."""

import pytest
from marshmallow import ValidationError, fields

from delivery.deliveries.schemas import DeliveryIn
from delivery.web import Schema
from tests.factories import delivery_in


class Renamed(Schema):
    inner = fields.Integer(data_key="outer", attribute="kept", required=True)
    items = fields.List(fields.Nested(DeliveryIn))


BODIES = {
    "the least": delivery_in(),
    "much": delivery_in(
        tags=["b", "a"],
        reference=None,
        window={"earliest": None, "latest": "2026-03-01T09:30:00Z"},
        requirements={"pin": True},
    ),
    "nothing": {},
    "no object": [],
    "no text": "text",
    "nulls": dict.fromkeys(delivery_in()),
    "unknown fields": delivery_in(colour="red", size=1, recipient={"name": "Grace", "colour": "red"}),
    "wrong inside": delivery_in(destination={"line1": "", "city": 1, "country": "gb", "lat": 91}),
    "wrong kinds": delivery_in(recipient=[], destination="x", tags={}, draft=1, item_name=None, window=7),
    "in no order": delivery_in(window={"earliest": "2026-03-02T09:30:00Z", "latest": "2026-03-01T09:30:00Z"}),
    "another name": {"outer": "1", "items": [delivery_in(), delivery_in(item_name=""), 1]},
    "by its own name": {"inner": 1},
}


def loaded(schema, body, **options):
    try:
        return schema.load(body, **options)
    except ValidationError as error:
        return error.messages, error.valid_data


@pytest.mark.parametrize("options", [{}, {"partial": True}, {"unknown": "include"}, {"unknown": "exclude"}], ids=str)
@pytest.mark.parametrize("schema", [DeliveryIn, Renamed])
@pytest.mark.parametrize("body", BODIES)
def test_a_body_loads_as_marshmallow_loads_it(body, schema, options, monkeypatch):
    for many in (False, True):
        given = [BODIES[body]] * 2 if many else BODIES[body]
        ours = loaded(schema(many=many), given, **options)
        with monkeypatch.context() as patch:
            patch.delattr(Schema, "_deserialize")
            assert ours == loaded(schema(many=many), given, **options)
