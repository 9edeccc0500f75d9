"""The export is a list as CSV: whole or visibly broken, harmless to open, and read again without a loss."""

import csv
import io

import pytest
from sqlalchemy.exc import OperationalError

from delivery.deliveries import exporting, listing
from tests.commands import run
from tests.web.answers import problem, wrong


def rows_of(response):
    body = response.text
    response.close()  # as every server does
    assert response.status_code == 200, body
    return list(csv.DictReader(io.StringIO(body, newline="")))


def restored(cell):
    return exporting.unguarded(cell)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(exporting, "BATCH", 2)


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "-updated_at", "updated_at"])
def test_it_has_every_delivery_of_the_list_once_in_its_order(api, people, small_batches, sort):
    people.customer().create(item_name="not mine")
    for number in range(5):
        api.create(item_name=f"item {number}", tags=["odd"] if number % 2 else [])

    names = [row["item_name"] for row in rows_of(api.get(f"/api/deliveries/export.csv?sort={sort}"))]

    assert names == [item["item_name"] for item in api.get(f"/api/deliveries?sort={sort}").json["items"]]
    assert len(names) == 5
    odd = rows_of(api.get("/api/deliveries/export.csv?tag=odd&q=item&sort=created_at"))
    assert odd == []
    odd = rows_of(api.get("/api/deliveries/export.csv?tag=odd&q=grace&sort=created_at"))
    assert [row["item_name"] for row in odd] == ["item 1", "item 3"]


def test_every_cell_can_be_read_again(api):
    name = "=cmd|' /C calc'!A0"
    made = api.create(
        item_name='a "quoted", item', description="two\nlines", tags=["b;c", "a\\"],
        recipient={"name": name, "phone": "+442079460000"}, package={"weight_grams": 5},
        window={"earliest": "2030-05-01T09:00:00Z", "latest": None},
    )  # fmt: skip
    response = api.get("/api/deliveries/export.csv")
    (row,) = rows_of(response)
    assert tuple(row) == exporting.HEADER
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == "attachment; filename=deliveries.csv"
    assert response.data.count(b"\r\n") == 2
    assert row["recipient_name"] == f"'{name}"
    assert row["recipient_phone"] == "'+442079460000"
    assert (restored(row["recipient_name"]), restored(row["recipient_phone"])) == (name, "+442079460000")
    assert (row["item_name"], row["description"]) == (made["item_name"], made["description"])
    assert (row["id"], row["window_earliest"], row["window_latest"]) == (made["id"], "2030-05-01T09:00:00Z", "")
    assert (row["package_weight_grams"], row["requirements_photo"], row["tags"]) == ("5", "false", "a\\\\;b\\;c")
    assert row["created_at"] == made["created_at"]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\uff1d1", "'=1", "''+1"])
def test_what_a_spreadsheet_would_compute_is_guarded_and_can_be_undone(api, text):
    api.create(item_name=text)
    (row,) = rows_of(api.get("/api/deliveries/export.csv"))
    assert row["item_name"] == f"'{text}"
    assert restored(row["item_name"]) == text


@pytest.mark.parametrize("text", ["'tis", "a=b", "5-1", "O'Brien"])
def test_other_words_stay_as_they_are(api, text):
    api.create(item_name=text)
    (row,) = rows_of(api.get("/api/deliveries/export.csv"))
    assert (row["item_name"], restored(row["item_name"])) == (text, text)


def test_a_bad_filter_is_a_422_and_pages_are_unknown(api):
    assert wrong(api.get("/api/deliveries/export.csv?status=x&limit=5&cursor=a")) == {
        "/status/0": "invalid", "/limit": "unknown", "/cursor": "unknown"}  # fmt: skip


def test_an_error_at_the_start_is_a_problem_and_later_breaks_it_off(api, small_batches, monkeypatch):
    for _ in range(3):
        api.create()
    read, calls = listing.deliveries, []

    def fails_at(call):
        def deliveries(*args, **options):
            calls.append(1)
            if len(calls) == call:
                raise OperationalError("SELECT", None, Exception("gone"))
            return read(*args, **options)

        calls.clear()
        monkeypatch.setattr(listing, "deliveries", deliveries)

    fails_at(1)
    problem(api.get("/api/deliveries/export.csv"), 503)
    fails_at(2)
    with pytest.raises(OperationalError):
        _ = api.get("/api/deliveries/export.csv").data


def test_a_reader_holds_no_connection_and_at_most_half_of_the_threads(app, api, small_batches):
    for _ in range(5):
        api.create()
    app.config["WEB_THREADS"] = 4
    app.extensions.pop("delivery.exports", None)
    engine = app.extensions["delivery.read_engine"]
    open_ones = [api.get("/api/deliveries/export.csv", buffered=False) for _ in range(2)]
    for one in open_ones:
        lines = one.iter_encoded()
        next(lines), next(lines), next(lines)
    assert engine.pool.checkedout() == 0
    problem(api.get("/api/deliveries/export.csv"), 503)
    open_ones[0].close()
    assert len(rows_of(api.get("/api/deliveries/export.csv"))) == 5
    open_ones[1].close()
    api.client.head("/api/deliveries/export.csv", headers=api.headers).close()
    assert [rows_of(api.get("/api/deliveries/export.csv")) != [] for _ in range(3)] == [True] * 3


def test_the_command_writes_a_whole_file_or_none(app, api, tmp_path, monkeypatch):
    api.create(item_name="lamp", reference="r-1")
    api.create(item_name="chair")
    done = run(app, "deliveries", "export", str(tmp_path / "all.csv"), "--reference", "r-1")
    assert done.exit_code == 0, done.output
    (row,) = csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text()))
    assert row["item_name"] == "lamp"
    assert run(app, "deliveries", "export", str(tmp_path / "all.csv")).exit_code == 1
    monkeypatch.setattr(exporting, "lines", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(app, "deliveries", "export", str(tmp_path / "broken.csv"))
    assert [path.name for path in tmp_path.glob("*.csv*")] == ["all.csv"]
