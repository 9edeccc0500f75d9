"""Every field of a delivery gets every hostile value: it is refused, or stored so that everybody can read it again."""

import copy
import itertools

import pytest

from tests.factories import delivery_in
from tests.web.answers import problem
from tests.web.hostile import A_FEW, EVERYTHING, MOMENTS

ADDRESS = {"line1": "1 Road", "city": "Bristol", "country": "GB"}
BODY = delivery_in(
    pickup=ADDRESS,
    package={"pieces": 1},
    window={"earliest": "2026-01-01T00:00:00Z"},
    requirements={"photo": True},
    tags=["one"],
)
PLACES = {
    "words": ["item_name", "description", "reference", "draft", "owner_id", "tags", "tags/0"],
    "recipient": ["recipient", "recipient/name", "recipient/email", "recipient/phone", "recipient/locale"],
    "destination": [
        "pickup", "destination", "destination/line1", "destination/line2", "destination/city", "destination/postcode",
        "destination/country", "destination/lat", "destination/notes",
    ],
    "package": ["package", "package/weight_grams", "package/pieces", "requirements", "requirements/pin"],
    "window": ["window", "window/earliest", "window/latest"],
}  # fmt: skip
MOVE_PLACES = ["to", "reason_code", "note", "public_note", "occurred_at", "location", "location/lat", "courier_id"]


def put(body, place, value):
    """A copy of a body with another value at a place."""
    changed = copy.deepcopy(body)
    *parents, last = place.split("/")
    inner = changed
    for name in parents:
        inner = inner[name]
    inner[int(last) if last.isdigit() else last] = value
    return changed


def refused_or_kept(dispatcher, place, value):
    response = dispatcher.post("/api/deliveries", json=put(BODY, place, value))
    assert response.status_code in {201, 409, 422}, f"{place} = {value!r:.80}: {response.text:.500}"
    if response.status_code != 201:
        problem(response, response.status_code)
        return
    made = response.json
    read = dispatcher.get(f"/api/deliveries/{made['id']}")
    assert read.status_code == 200, f"{place} = {value!r:.80} cannot be read again"
    assert read.json == made, f"{place} = {value!r:.80} comes back changed"


@pytest.mark.no_cover  # the same lines again and again
@pytest.mark.parametrize("group", ["words", "recipient", "destination", "package", "window"])
def test_a_field_of_a_delivery_refuses_or_keeps(people, group):
    dispatcher = people.dispatcher()
    for place in PLACES[group]:
        for value in EVERYTHING:
            refused_or_kept(dispatcher, place, value)
    assert dispatcher.get("/api/deliveries?limit=100").status_code == 200


def test_an_edit_refuses_or_keeps_as_a_creation_does(people):
    dispatcher = people.dispatcher()
    delivery = dispatcher.create()
    path = f"/api/deliveries/{delivery['id']}"
    places = [place for group in PLACES.values() for place in group if place != "draft"]
    for place, value in itertools.product(places, A_FEW):
        top = place.partition("/")[0]
        response = dispatcher.patch(path, json={top: put(BODY, place, value)[top]}, headers={"If-Match": "*"})
        assert response.status_code in {200, 422}, f"{place} = {value!r:.80}: {response.text:.500}"
        assert dispatcher.get(path).status_code == 200, f"{place} = {value!r:.80} cannot be read again"
    assert len(dispatcher.history(delivery)) > 10


def test_a_field_of_a_move_refuses_or_keeps(people):
    dispatcher = people.dispatcher()
    delivery = dispatcher.create()
    path, states = f"/api/deliveries/{delivery['id']}", itertools.cycle(["on_hold", "pending"])
    to = next(states)
    for place, value in itertools.product(MOVE_PLACES, A_FEW + MOMENTS):
        body = {"to": to, "location": {"lat": 1, "lng": 1}}
        response = dispatcher.post(f"{path}/transitions", json=put(body, place, value))
        assert response.status_code in {200, 422}, f"{place} = {value!r:.80}: {response.text:.500}"
        to = next(states) if response.status_code == 200 else to
    version, cursor = dispatcher.get(path).json["version"], ""
    while cursor is not None:
        page = dispatcher.get(f"{path}/events?limit=100" + (f"&cursor={cursor}" if cursor else "")).json
        cursor = page["next_cursor"]
    assert page["items"][-1]["seq"] == version > 20


def test_numbers_are_numbers_and_booleans_are_booleans(people):
    """What only looks right is refused: "1" is no number, 1 is no boolean, 1.0 is no whole number."""
    dispatcher = people.dispatcher()
    for place, values in {
        "package/pieces": ["1", True, 1.0, 1.5, 0, -1, 10_001, None],
        "package/weight_grams": ["1", True, 1.0, 0, 2**31, 2**63],
        "destination/lat": ["1", "1e0", True, "NaN", 90.0001, -91, 1e308],
        "destination/lng": ["1", False, 180.0001, -181],
        "requirements/pin": [1, 0, "true", "yes", None, 1.0],
        "draft": [1, 0, "true", None],
        "tags": [None, "one", {}, ["x"] * 21],
        "recipient/locale": ["English", "e", "EN", "en_GB", None],
        "destination/country": ["gb", "GBR", "G", "", None],
    }.items():
        for value in values:
            response = dispatcher.post("/api/deliveries", json=put(BODY, place, value))
            assert response.status_code == 422, f"{place} = {value!r}: {response.text}"
            [error] = problem(response, 422)["errors"]
            assert error["pointer"].startswith(f"/{place}"), error


def test_the_last_good_values_are_good(people):
    dispatcher = people.dispatcher()
    for place, values in {
        "package/pieces": [1, 10_000],
        "destination/lat": [90, -90, 0, 12.3456789],
        "tags": [[], ["x"] * 20, ["ü" * 50]],
        "item_name": ["x" * 200, "\U0001f40e" * 200],
        "description": ["x" * 2000, None],
        "reference": ["x" * 100],
        "recipient/locale": ["en", "pt-BR", "zh-Hant-TW"],
        "recipient/email": ["a" * 64 + "@b.example", None],
    }.items():
        for value in values:
            response = dispatcher.post("/api/deliveries", json=put(BODY, place, value))
            assert response.status_code == 201, f"{place} = {value!r}: {response.text}"


def test_a_window_must_not_end_before_it_begins(people):
    dispatcher = people.dispatcher()
    same = "2026-01-01T00:00:00Z"
    assert dispatcher.create(window={"earliest": same, "latest": same})["window"]["latest"] == same
    later_by_zone = {"earliest": "2026-01-01T10:00:00+05:00", "latest": "2026-01-01T06:00:00Z"}
    assert dispatcher.post("/api/deliveries", json=delivery_in(window=later_by_zone)).status_code == 201
    earlier_by_zone = {"earliest": "2026-01-01T06:00:00Z", "latest": "2026-01-01T10:00:00+05:00"}
    problem(dispatcher.post("/api/deliveries", json=delivery_in(window=earlier_by_zone)), 422)
