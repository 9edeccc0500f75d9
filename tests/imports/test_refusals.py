"""What is said of rows that are good by themselves, and refused all the same."""

from tests.imports.making import OPTIONS, bad_rows, imported, row, rows, run, table, upload


def test_a_duplicate_is_told_by_the_users_column_and_by_who_has_it(api):
    there = api.create(reference="SO-1")
    data = table([row(1), row(2), row(2, name="Again")])
    options = {**OPTIONS, "on_duplicate": "error"}
    trial = bad_rows(api, imported(api, data, options={**options, "dry_run": True}))
    done = bad_rows(api, imported(api, data, options=options))
    taken = f"order: The delivery {there['tracking_number']} has this reference already."
    assert [one["import_errors"] for one in trial] == [taken, "order: A row before it has this reference, too."]
    made = next(one for one in api.get("/api/deliveries").json["items"] if one["reference"] == "SO-2")
    before = "has this reference; a row before it made it, or somebody else meanwhile."
    assert [one["import_errors"] for one in done] == [taken, f"order: The delivery {made['tracking_number']} {before}"]


def test_rows_for_somebody_who_has_left_say_so_and_name_no_cell(people):
    owner, dispatcher, admin = people.customer(), people.dispatcher(), people.admin()
    asked_for = upload(dispatcher, table(rows(1)), options={**OPTIONS, "owner_id": owner.user_id}).json
    etag = admin.get(f"/api/users/{owner.user_id}").headers["ETag"]
    admin.patch(f"/api/users/{owner.user_id}", json={"active": False}, headers={"If-Match": etag})
    run(dispatcher.app)
    [bad] = bad_rows(dispatcher, dispatcher.get(f"/api/imports/{asked_for['id']}").json)
    assert bad["import_errors"] == "There is no such active user."
