"""Who is erased is gone from imports, too, and nothing is kept for longer than it is said to be."""

import io
import zipfile

from sqlalchemy import func, select

from delivery.database import db
from delivery.imports.files import Upload
from delivery.imports.models import ImportBadRow, ImportChunk, ImportTemplate
from tests.imports.making import OPTIONS, asked, bad_rows, imported, row, table, template, upload
from tests.privacy.canaries import Canaries, keep_house, sightings, url_of


def counts(app):
    with app.app_context():
        return [
            db.session.execute(select(func.count()).select_from(one)).scalar()
            for one in (ImportBadRow, ImportChunk, ImportTemplate)
        ]


def test_an_erased_account_leaves_no_file_no_row_and_no_template(app, people):
    owner, admin, canaries = people.customer(), people.admin(), Canaries("owner")
    refused = [row(1, name=canaries["refused"], country="none")]
    options = {**OPTIONS, "defaults": {"item_name": "Parcel", "description": canaries["usual"]}}
    done = imported(owner, table(refused), filename=f"{canaries['file']}.csv", options=options)
    assert done["rows"]["failed"] == 1
    upload(owner, table([row(2, name=canaries["waiting"])]))
    template(app, owner.user_id, name=canaries["template"], defaults={"item_name": canaries["default"]})
    assert len({word for _, word in sightings(url_of(app), canaries)}) == 6

    assert admin.post(f"/api/users/{owner.user_id}/erase").status_code == 204

    assert sightings(url_of(app), canaries) == []
    assert counts(app) == [0, 0, 0]


def test_an_erased_recipient_is_gone_from_refused_rows_however_they_were_written(app, people):
    owner, admin = people.customer(), people.admin()
    mine = {"mail": " GRACE@home.example", "country": "none"}
    done = imported(
        owner, table([row(1, **mine), row(2, phone="(020) 7946-0018", country="none"), row(3, country="none")])
    )
    assert done["rows"]["failed"] == 3
    body = {"email": "grace@home.example", "phone": "+442079460018"}
    assert admin.post("/api/privacy/erasures", json=body).status_code in {200, 202}
    assert [one["import_row"] for one in bad_rows(owner, done)] == ["4"]


def test_refused_rows_and_files_that_nobody_finished_are_thrown_away(app, api, travel):
    done = imported(api, table([row(1, country="none")]))
    with app.app_context():
        broken_off = Upload(most_bytes=99)
        broken_off.write(b"x")
        broken_off.end()
    keep_house(app)
    assert counts(app)[:2] == [1, 1]
    travel(hours=2)
    keep_house(app)
    assert counts(app)[:2] == [1, 0]
    travel(days=31)
    keep_house(app)
    assert counts(app)[:2] == [0, 0]
    assert done["state"] == "completed_with_errors"


def test_the_file_of_an_import_that_waits_is_no_orphan(app, api, travel):
    asked(app, api.user_id)
    travel(hours=2)
    keep_house(app)
    assert counts(app)[:2] == [0, 1]


def test_an_export_names_the_files_and_templates_of_an_account(app, api):
    imported(api, table([row(1)]), filename="my-orders.csv")
    template(app, api.user_id, name="My shop")
    archive = api.get(f"/api/users/{api.user_id}/export").data
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert b"my-orders.csv" in opened.read("imports.json")
        assert b"My shop" in opened.read("import_templates.json")
