"""The Python client's calls about many deliveries at once: bulk, labels, exports, imports."""

import csv
import io

import delivery_client
import pytest

from tests.clients.conftest import GRACE
from tests.imports.making import OPTIONS, row, rows, run, table


def test_many_are_created_with_an_outcome_for_each(client, front):
    items = [{**GRACE, "reference": "order-1"}, {**GRACE, "reference": "order-1"}, {**GRACE, "item_name": ""}]
    front.lose_answer()
    made = client.deliveries.create_many(items)
    assert (made["created"], made["duplicates"], made["refused"]) == (1, 1, 1)
    first, twin, wrong = made["items"]
    assert first["id"] == twin["id"] == next(client.deliveries.list())["id"]
    assert wrong["problem"]["errors"][0]["pointer"] == "/items/2/item_name"


def test_all_or_none_are_created(client):
    with pytest.raises(delivery_client.Invalid) as wrong:
        client.deliveries.create_many([GRACE, {**GRACE, "item_name": ""}], atomic=True)
    assert wrong.value.errors[0]["pointer"] == "/items/1/item_name"
    assert list(client.deliveries.list()) == []


def test_many_are_moved_after_a_rehearsal(client):
    one, other = (client.deliveries.create(**GRACE) for _ in range(2))
    moves = [{"id": one["id"]}, {"id": other["id"], "version": 7}]
    tried = client.deliveries.move_many(moves, to="cancelled", note="The shop is closed.", dry_run=True)
    assert (tried["ok"], tried["failed"], tried["dry_run"]) == (1, 1, True)
    assert client.deliveries.get(one["id"])["status"] == "pending"
    moved = client.deliveries.move_many(iter(moves), to="cancelled")
    assert [item["status"] for item in moved["items"]] == ["cancelled", None]
    assert moved["items"][1]["problem"]["code"] == "stale_version"


def test_labels_are_pdf(client, people, connect):
    ids = [client.deliveries.create(**GRACE)["id"] for _ in range(2)]
    label, sheet = client.deliveries.label(ids[0]), client.deliveries.labels(ids, size="a4")
    assert label.startswith(b"%PDF-")
    assert sheet.startswith(b"%PDF-")
    assert label != sheet
    people.customer(email="stranger@people.example")
    stranger = connect(email="stranger@people.example", password="correct horse battery staple")
    with pytest.raises(delivery_client.NotFound):
        stranger.deliveries.label(ids[0])
    with pytest.raises(delivery_client.Invalid) as missing:
        stranger.deliveries.labels(ids)
    assert missing.value.errors[0]["code"] == "not_found"


def test_a_list_is_exported_whole_or_not_at_all(client, front, tmp_path):
    made = [client.deliveries.create(**GRACE, tags=[f"route {number}"])["id"] for number in range(3)]
    target = tmp_path / "exports" / "deliveries.csv"
    target.parent.mkdir()
    client.deliveries.save_export(target, sort="created_at")
    saved = target.read_bytes()
    assert [line["id"] for line in csv.DictReader(io.StringIO(saved.decode()))] == made
    assert b"".join(client.deliveries.export(sort="created_at")) == saved
    assert len(b"".join(client.deliveries.export(tag=["route 1"])).splitlines()) == 2
    front.halve_answer(method="GET")
    with pytest.raises(delivery_client.Unreachable, match="broke off"):
        client.deliveries.save_export(target)
    assert target.read_bytes() == saved
    assert list(target.parent.iterdir()) == [target]


def test_an_export_that_is_refused_says_why_and_one_too_many_waits(client, front):
    with pytest.raises(delivery_client.Invalid) as wrong:
        next(client.deliveries.export(sort="colour"))
    assert wrong.value.errors[0]["pointer"] == "/sort"
    front.answer(503, method="GET", headers={"Retry-After": "1"})
    assert next(client.deliveries.export()).startswith(b"id,")


def test_the_connection_of_an_export_that_was_left_is_not_used_again(client):
    client.deliveries.create(**GRACE)
    pieces = client.deliveries.export()
    next(pieces)
    pieces.close()
    assert len(list(client.deliveries.list())) == 1


def test_a_file_is_imported_and_what_was_refused_comes_back(client, app, front, tmp_path):
    orders = tmp_path / "orders.csv"
    orders.write_bytes(table([*rows(2), row(3, mail="no address")]))
    front.lose_answer()
    asked = client.imports.create(orders, **OPTIONS)
    assert (asked["state"], asked["filename"], asked["rows"]["total"]) == ("queued", "orders.csv", 3)
    assert [one["id"] for one in client.imports.list(state="queued")] == [asked["id"]]
    with pytest.raises(TimeoutError, match="0 rows"):
        client.imports.wait(asked["id"], timeout_seconds=0.05, pause_seconds=0.02)
    run(app)
    done = client.imports.wait(asked["id"])
    assert (done["state"], done["rows"]["created"], done["rows"]["failed"]) == ("completed_with_errors", 2, 1)
    assert b"Not a valid email address." in client.imports.errors_csv(asked["id"])
    with pytest.raises(delivery_client.Conflict) as twice:
        client.imports.create(orders, **OPTIONS)
    assert (twice.value.code, twice.value.problem["existing_id"]) == ("already_imported", asked["id"])


def test_bytes_are_imported_by_a_template_and_cancelled(client):
    kept = client.import_templates.create(name="Marketplace", **OPTIONS)
    changed = client.import_templates.edit(kept, date_format="dmy")
    assert client.import_templates.get(kept["id"]) == changed
    assert [one["name"] for one in client.import_templates.list(limit=1)] == ["Marketplace"]
    asked = client.imports.create(table(rows(1)), filename="today.csv", template_id=kept["id"], dry_run=True)
    assert (asked["filename"], asked["date_format"], asked["dry_run"]) == ("today.csv", "dmy", True)
    assert client.imports.cancel(asked["id"])["state"] == client.imports.wait(asked["id"])["state"] == "cancelled"
    with pytest.raises(delivery_client.Invalid) as empty:
        client.imports.create(b"", template_id=kept["id"])
    assert empty.value.errors[0]["code"] == "empty_file"
    with pytest.raises(delivery_client.StaleVersion):
        client.import_templates.delete(kept)
    client.import_templates.delete(changed)
    assert list(client.import_templates.list()) == []
