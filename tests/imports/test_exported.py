"""Our own export is a file that can be imported as it is."""

import csv
import io

import pytest

from delivery.deliveries import exporting
from delivery.imports.targets import TARGETS
from tests.imports.making import imported, one_delivery, upload
from tests.web.answers import wrong

# What is another delivery's own, or its history.
OTHERS = {
    "id",
    "tracking_number",
    "status",
    "owner_id",
    "courier_id",
    "version",
    "created_at",
    "updated_at",
    "picked_up_at",
}


def exported(api):
    response = api.get("/api/deliveries/export.csv?sort=created_at")
    data = response.data
    response.close()
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    kept = [{name: cell for name, cell in row.items() if name not in OTHERS} for row in rows]
    return data, sorted(kept, key=lambda row: row["item_name"])


def test_what_one_owner_exports_another_imports_without_a_mapping(people):
    one, other = people.customer(), people.customer()
    full = {"line1": "1 Quay", "line2": "Rear", "city": "K\u00f6ln", "region": "NW", "postcode": "50667",
            "country": "DE", "lat": 50.9375, "lng": 6.9603, "notes": "Ring;\ntwice, please"}  # fmt: skip
    one.create(
        item_name="=1+1", description="two\nlines; \"quoted\", 'so", reference="'+SO-1",
        tags=["a;b", "c,d", "e|f", "back\\slash", "ends\\", "\\;", "=sum", "plain"],
        recipient={"name": "''@Grace", "email": "grace@home.example", "phone": "+442079460000", "locale": "de"},
        destination=full, pickup={**full, "line1": "-2 Quay"},
        package={"weight_grams": 1200, "pieces": 3, "length_mm": 10, "width_mm": 20, "height_mm": 30},
        window={"earliest": "2030-05-01T09:00:00Z", "latest": "2030-05-01T11:30:00Z"},
        requirements={"photo": True, "signature": False, "pin": True},
    )  # fmt: skip
    one.create(item_name="Bare")
    one.walk(one.create(item_name="Cancelled", tags=["\u00fcber"]), "cancelled")

    data, before = exported(one)
    done = imported(other, data, options={})

    assert (done["state"], done["rows"]["created"]) == ("completed", 3)
    assert exported(other)[1] == before
    tags = next(item for item in other.get("/api/deliveries").json["items"] if item["item_name"] == "=1+1")["tags"]
    assert sorted(tags) == sorted(["a;b", "c,d", "e|f", "back\\slash", "ends\\", "\\;", "=sum", "plain"])


def test_every_column_of_the_export_is_a_field_or_no_import_sets_it():
    fields = {path.replace(".", "_") for path in TARGETS}
    assert set(exporting.HEADER) - fields == OTHERS
    assert fields - set(exporting.HEADER) == {"draft"}


def test_a_field_under_both_its_names_is_there_twice(api):
    data = one_delivery().replace(b"item_name", b"recipient_name,item_name").replace(b"Parcel", b"Ada,Parcel")
    assert wrong(upload(api, data, options={})) == {"/file": "column_twice"}


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("a, b;c|d", ["a", "b", "c", "d"]), ("a\\b", ["a\\b"]), ("a\\;b\\,c\\|d", ["a;b,c|d"]),
        ("a\\\\;b", ["a\\", "b"]), (";;, |", []), ("a\\", ["a\\"]),
    ],
)  # fmt: skip
def test_tags_are_told_apart_where_no_backslash_is(cell, tags):
    assert exporting.split(cell) == tags
