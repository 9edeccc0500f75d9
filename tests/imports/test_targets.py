"""The fields that a file fills: what is left out for speed changes nothing."""

import pytest
from marshmallow import ValidationError

from delivery.imports.targets import DELIVERY, TARGETS, BadCell, converter, schema_of

NEEDED = {
    "item_name": "Parcel",
    "recipient": {"name": "Grace"},
    "destination": {"line1": "12 Harbour Street", "city": "Bristol", "country": "GB"},
}
BODIES = (
    NEEDED,
    {"recipient": {}, "destination": {}},
    {**NEEDED, "recipient": {"name": "Grace", "phone": "12", "email": "none", "locale": "English"}},
    {**NEEDED, "package": {"weight_grams": 500}},
    {**NEEDED, "package": {"weight_grams": 0}},
    {**NEEDED, "pickup": {"line1": "1 Quay"}},
    {**NEEDED, "window": {"latest": "2026-11-27T10:00:00Z"}},
    {**NEEDED, "window": {"earliest": "2026-11-27T11:00:00Z", "latest": "2026-11-27T10:00:00Z"}},
    {**NEEDED, "requirements": {"photo": True}, "draft": True, "tags": ["b", "a", "b"]},
)


def loaded(schema, body):
    try:
        return schema.load(body)
    except ValidationError as error:
        return error.messages


def paths(body, before=""):
    for name, value in body.items():
        if isinstance(value, dict):
            yield from paths(value, f"{before}{name}.")
        else:
            yield before + name


@pytest.mark.parametrize("body", BODIES)
def test_the_fields_of_a_file_alone_make_the_same_delivery_or_the_same_errors(body):
    assert loaded(schema_of(set(paths(body))), body) == loaded(DELIVERY, body)
    assert loaded(schema_of(set(TARGETS)), body) == loaded(DELIVERY, body)


def test_what_no_cell_gives_is_not_looked_at():
    schema = schema_of(set(paths(NEEDED)))
    assert {"pickup", "package", "tags", "owner_id", "notifications"} & schema.fields.keys() == set()
    assert "notes" not in schema.fields["destination"].schema.fields


@pytest.mark.parametrize(
    ("path", "cell", "suggestion"),
    [
        ("package.weight_grams", "2 kg", "2000"), ("package.length_mm", "30 cm", "300"),
        ("package.pieces", "2 kg", None), ("pickup.country", "Deutschland", "DE"),
        ("window.latest", "31.1.2030", "2030-01-31"),
    ],
)  # fmt: skip
def test_what_was_probably_meant_is_suggested_by_field(path, cell, suggestion):
    with pytest.raises(BadCell) as bad:
        converter(path, date_format="iso", time_zone="UTC")(cell)
    assert bad.value.suggestion == suggestion
