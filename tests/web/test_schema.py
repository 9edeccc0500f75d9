"""Our way through a schema's fields finds what marshmallow's finds: the same values, the same errors."""

import pytest
from marshmallow import ValidationError, fields, validate

from delivery.deliveries.schemas import DeliveryIn
from delivery.users.schemas import Email, Phone
from delivery.web import Line, Paragraph, Schema
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


LINES = {
    "a line": lambda: Line(5),
    "a line or nothing": lambda: Line(5, shortest=0),
    "a long enough line": lambda: Line(5, shortest=3),
    "null or a line": lambda: Line(5, allow_none=True),
    "no x": lambda: Line(5, validate=[validate.NoneOf(["x"])]),
    "a paragraph": lambda: Paragraph(5),
    "an address": Email,
    "a number": Phone,
}
TEXTS = [
    "",
    " ",
    "x",
    " x ",
    "ab",
    "abcde",
    "abcdef",
    " abcde",
    "abcd \n",
    "\n",
    "a\nb",
    "a\x00",
    "a\u2028",
    "\u202ea",
    "\xa0a",
    "e\u0301",
]
OTHERS = [None, 1, True, b"x", [], {}, "a@b.example", "+442079460000", "+44 20 7946 0000\u2028"]


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_taken_as_marshmallow_takes_it(line, monkeypatch):
    """A plain one is taken in one step; marshmallow's many find the same."""

    def taken(value):
        try:
            return LINES[line]().deserialize(value)
        except ValidationError as error:
            return error.messages

    ours = [taken(value) for value in TEXTS + OTHERS]
    monkeypatch.delattr(Line, "deserialize")
    assert ours == [taken(value) for value in TEXTS + OTHERS]
