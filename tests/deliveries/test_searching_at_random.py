"""Search against its rule in plain words: what it finds, and in which order, is what reading all rows finds."""

import random
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import pytest
from sqlalchemy import select, update

from delivery.database import db
from delivery.deliveries import creating, finding, searching
from delivery.deliveries.models import Delivery
from tests.auth.keys import sandbox_of
from tests.factories import delivery_in, id_at

NAMES = [
    "Ann",
    "Anna",
    "Annabel",
    "O'Brien",
    "McCoffey",
    "Coffey",
    "Zoë",
    "Łukasz",
    "李",
    "de",
    "la",
    "D'Arc",
    "x\\y",
    "a%b",
    "c_d",
    "~~~",
]
REFERENCES = [
    "SO-1",
    "SO-12",
    "so-123-a",
    "2026-0815",
    "AB 12 34 567",
    "12 34 567",
    "0815 2026",
    "it's",
    "^ann",
    "@owner",
    "23:1",
]
PHONES = ["+442079460123", "+33142685300", "+493012345678"]
AGES = [-3 * 24, 0, 0.1, 1, 2, 5, 9, 20, 70, 300, 700, 9_000]  # hours; one clock goes wrong


TIMES = 150


@pytest.fixture
def chance():
    return random.Random(7)


@pytest.fixture
def who_sees(app, people, monkeypatch, chance):
    """Whoever may search, each with what they see, the newest first."""

    new_id = lambda: id_at(-chance.choice(AGES) * 3600, chance.getrandbits(60))  # noqa: E731
    monkeypatch.setattr(creating, "new_id", new_id)
    owners, admin, courier = [people.customer(), people.customer()], people.admin(), people.courier()
    sandboxes = [sandbox_of(owners[0]), sandbox_of(admin)]
    for owner in (*owners, sandboxes[0]):
        references = [*REFERENCES, *(f"R-{chance.randrange(10**6)}" for _ in range(200)), *[None] * 50]
        made = owner.post("/api/deliveries/bulk", json={"items": [_body(chance, one) for one in references]})
        assert made.json["created"] == len(references), made.text
    _age(app, chance, courier_id=UUID(str(courier.user_id)))
    for beginning, state in (("number 1", "cancelled"), ("number 2", "on_hold")):
        found = (row["id"] for row in _pages(admin, limit=100) if row["item_name"].startswith(beginning))
        moved = admin.post("/api/deliveries/transitions", json={"to": state, "items": [{"id": one} for one in found]})
        assert moved.status_code == 200, moved.text
    for row in _pages(admin, limit=100):
        if row["item_name"].startswith("number 3"):
            gone = admin.delete(f"/api/deliveries/{row['id']}", headers={"If-Match": f'"{row["version"]}"'})
            assert gone.status_code == 204, gone.text
    return [(who, list(_pages(who, limit=100))) for who in (*owners, admin, courier, *sandboxes)]


def _age(app, chance, *, courier_id):
    """Give a tenth to a courier, and let all be as old as their ids, and be changed at some time since."""
    table = Delivery.__table__
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(update(table).where(table.c.item_name.contains("0")).values(courier_id=courier_id))
        for (identity,) in connection.execute(select(table.c.id)).all():
            made = datetime.fromtimestamp((identity.int >> 80) / 1000, UTC)
            times = {"created_at": made, "updated_at": made + timedelta(hours=chance.choice([0, 1, 30, 9_000]))}
            connection.execute(update(table).where(table.c.id == identity).values(times))


def _body(chance, reference):
    recipient = {"name": " ".join(chance.choices(NAMES, k=chance.randint(1, 3))), "email": "a@home.example"}
    if chance.random() < 0.7:
        recipient["phone"] = chance.choice(PHONES)
    tags = chance.choice([[], [], ["rare"], ["often", "fragile"]]) if chance.random() < 0.5 else ["often"]
    body = delivery_in(recipient=recipient, item_name=f"number {chance.randrange(100)}", tags=tags)
    return {**body, "reference": reference} if reference else body


def _pages(who, **asked):
    cursor = None
    while True:
        page = who.get("/api/deliveries", query_string={**asked, **({"cursor": cursor} if cursor else {})})
        assert page.status_code == 200, page.text
        yield from page.json["items"]
        cursor = page.json["next_cursor"]
        if not cursor:
            return


def _texts(row):
    return [text for text in (row["tracking_number"], row["reference"], *_recipient(row)) if text]


def _recipient(row):
    return row["recipient"]["name"], row["recipient"].get("phone")


def _is_found(row, q):
    """Each word in one of the texts, short ones where a word of it begins."""
    texts = [f" {text.lower()}" for text in _texts(row)]
    return all(
        any((f" {way}" if len(way) < 3 else way).lower() in text for way in word for text in texts)
        for word in searching.words_of(q)
    )


def _questions(chance, rows):
    """Parts of what is there, from one place to another, and now and then two of them, or with a letter changed."""
    for _ in range(TIMES):
        parts = []
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            whole = chance.choice(_texts(chance.choice(rows)))
            begin = chance.randrange(len(whole))
            part = whole[begin : begin + chance.choice([1, 2, 3, 3, 4, 5, 7, 20])]
            parts.append(part.swapcase() if chance.random() < 0.3 else part)
        yield " ".join(parts)


def _filters(chance, rows, *, courier_id):
    """Filters and an order, about what is there."""
    row = chance.choice(rows)
    every = {
        "status": chance.choice([["pending"], ["cancelled"], ["cancelled", "pending", "on_hold"], ["lost"]]),
        "courier_id": chance.choice([courier_id, courier_id, row["owner_id"]]),
        "owner_id": row["owner_id"],
        "tag": chance.choice(["rare", "often", "none", ["rare", "fragile"]]),
        "unassigned": chance.choice(["true", "false"]),
        "late": chance.choice(["true", "false"]),
        **{f"{what}_{side}": row[f"{what}_at"] for what in ("created", "updated") for side in ("after", "before")},
    }
    asked = {name: every[name] for name in chance.sample(sorted(every), chance.choice([0, 1, 1, 1, 2, 3]))}
    return {**asked, "sort": chance.choice(["-created_at", "-created_at", "created_at", "-updated_at", "updated_at"])}


def test_whatever_else_is_asked_the_same_is_found_in_the_order_of_the_list(who_sees, chance, monkeypatch):
    """With so small steps that all of them are taken."""
    for name, number in {"_FEW": 3, "_MORE": 12, "_FAR": 40, "_SOME": 6}.items():
        monkeypatch.setattr(finding, name, number)
    found_some = 0
    courier_id = who_sees[3][0].user_id
    for who, everything in who_sees:
        for q in islice(_questions(chance, everything), TIMES // 2):
            if not q.strip() or not searching.words_of(q) or searching.whole(q):
                continue
            asked = _filters(chance, everything, courier_id=courier_id)
            expected = [row["id"] for row in _pages(who, **asked, limit=100) if _is_found(row, q)]
            limit = min(100, 1 + len(expected) // chance.choice([1, 2, 3, 9]))
            found = [row["id"] for row in _pages(who, **asked, q=q, limit=limit)]
            assert found == expected, (q, asked, limit)
            found_some += len(expected) > 1
    assert found_some > TIMES / 3


def test_whatever_is_asked_for_is_found_and_nothing_else(who_sees, chance):
    asked = 0
    for who, rows in who_sees:
        assert len(rows) > 10
        for q in _questions(chance, rows):
            if not q.strip() or not searching.words_of(q):
                continue
            whole = [row for row in rows if searching.whole(q) and q in {row["tracking_number"], row["reference"]}]
            expected = whole or [row for row in rows if _is_found(row, q)]
            found = list(_pages(who, q=q, limit=min(100, 1 + len(expected) // chance.choice([1, 2, 3]))))
            assert [row["id"] for row in found] == [row["id"] for row in expected], q
            asked += 1
    assert asked > 2 * TIMES
