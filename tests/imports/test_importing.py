"""From a file to deliveries: each row once, and what was wrong with the others."""

from tests.auth.keys import sandbox_of
from tests.imports.making import COLUMNS, MAPPING, OPTIONS, asked, bad_rows, imported, row, rows, run, table, upload


def test_a_file_becomes_deliveries(api):
    response = upload(api, table(rows(3)))
    assert response.status_code == 202, response.text
    assert response.json["state"] == "queued"
    assert response.json["rows"] == {"total": 3, "done": 0, "created": 0, "updated": 0, "skipped": 0, "failed": 0}

    done = imported(api, table(rows(5)))

    assert (done["state"], done["progress"], done["rows"]["created"], done["rows"]["skipped"]) == ("completed", 1, 2, 3)
    found = api.get("/api/deliveries?limit=100").json["items"]
    assert sorted(one["reference"] for one in found) == ["SO-1", "SO-2", "SO-3", "SO-4", "SO-5"]
    one = next(one for one in found if one["reference"] == "SO-4")
    assert (one["item_name"], one["status"]) == ("Parcel", "pending")
    assert one["recipient"]["email"] == "grace4@home.example"
    assert one["destination"] == {"line1": "4 Harbour Street", "city": "Bristol", "country": "GB"}


def test_refused_rows_come_back_with_reasons_and_can_be_imported_when_put_right(api):
    wrong = [row(2, mail="no address"), row(3, country="Germany"), row(4, phone="020 7946 0000"), row(5, name="")]

    done = imported(api, table([row(1), *wrong, row(6)]))

    assert (done["state"], done["rows"]["created"], done["rows"]["failed"]) == ("completed_with_errors", 2, 4)
    bad = bad_rows(api, done)
    assert [one["import_row"] for one in bad] == ["3", "4", "5", "6"]
    assert [one["import_suggestions"] for one in bad] == ["", "country: DE", "phone: +442079460000", ""]
    assert "mail: Not a valid email address." in bad[0]["import_errors"]
    fixed = [{**one, "mail": "a@b.example", "country": "GB", "phone": "", "name": "Grace"} for one in bad]
    again = imported(api, table([list(one.values()) for one in fixed], header=list(fixed[0])))
    assert (again["state"], again["rows"]["created"]) == ("completed", 4)


def test_a_refused_row_that_comes_back_unmended_is_the_same_however_often(api):
    names = ["=1+1", "'+Plus", "''=two", " '=spaced ", "\t=tab", "'tis", "O'Brien"]
    header = [*COLUMNS[:3], "+Phone", *COLUMNS[4:]]
    options = {**OPTIONS, "mapping": {**MAPPING, "recipient.phone": "+Phone"}, "again": True}
    data = table([row(number, name=name, country="?") for number, name in enumerate(names)], header=header)
    seen = []
    for _ in range(4):
        done = imported(api, data, options=options)
        assert done["rows"]["failed"] == len(names)
        data = api.get(f"/api/imports/{done['id']}/errors.csv").data
        seen.append(data)
    assert len(set(seen)) == 1
    assert imported(api, data.replace(b",?\r\n", b",GB\r\n"), options=options)["rows"]["created"] == len(names)
    found = {one["reference"]: one["recipient"] for one in api.get("/api/deliveries?limit=100").json["items"]}
    assert [found[f"SO-{number}"]["name"] for number in range(len(names))] == [
        "=1+1", "+Plus", "'=two", "=spaced", "=tab", "'tis", "O'Brien"]  # fmt: skip
    assert {one["phone"] for one in found.values()} == {"+442079460000"}


def test_a_row_with_too_many_cells_comes_back_in_its_order_and_quoting_is_enough(api):
    data = table([row(1)]) + b"SO-2,Ada, of Bath,ada@home.example,,3 Mill Lane,Bath,GB\r\n"
    done = imported(api, data)
    text = api.get(f"/api/imports/{done['id']}/errors.csv").text
    assert text.startswith("\ufeffimport_row,import_errors,import_suggestions,order,name,")
    assert text.endswith('.",,SO-2,Ada, of Bath,ada@home.example,,3 Mill Lane,Bath,GB\r\n')
    again = imported(api, text.replace("Ada, of Bath", '"Ada, of Bath"').encode())
    assert again["rows"]["created"] == 1
    names = {one["recipient"]["name"] for one in api.get("/api/deliveries").json["items"]}
    assert names == {"Grace 1", "Ada, of Bath"}


def test_a_test_that_has_a_rows_reference_is_another_world(api):
    sandbox = sandbox_of(api)
    trial = sandbox.create(reference="SO-1")
    rehearsed = imported(api, table(rows(1)), options={**OPTIONS, "dry_run": True})
    assert rehearsed["rows"]["created"] == imported(api, table(rows(1)))["rows"]["created"] == 1
    changed = imported(api, table(rows(1, name="Ada")), options={**OPTIONS, "on_duplicate": "update"})
    assert (changed["state"], changed["rows"]["updated"]) == ("completed", 1)
    assert sandbox.get(f"/api/deliveries/{trial['id']}").json == trial


def test_what_is_new_is_looked_for_by_nobody(app, api, count_statements):
    """What becomes of those that are there already costs the others nothing."""

    def cost(number, on_duplicate):
        asked(app, api.user_id, data=table([row(number)]), options={**OPTIONS, "on_duplicate": on_duplicate})
        with count_statements() as statements:
            run(app)
        return len(statements)

    assert cost(1, "skip") == cost(2, "update") == cost(3, "error")
