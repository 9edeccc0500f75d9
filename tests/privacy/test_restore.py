"""A restored backup knows again whom it should have forgotten: flask privacy reapply forgets them once more."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from delivery.app import create_app
from delivery.audit import services as audit
from delivery.database import db
from delivery.ops.schema import upgrade
from delivery.privacy.models import Erasure
from delivery.users.models import User
from tests.commands import run, run_json
from tests.conftest import close, settings
from tests.deliveries.chains import broken
from tests.factories import People, delivery_in
from tests.privacy.canaries import Canaries, hold, keep_house, sightings, url_of


def copy_sqlite(url, new):
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as live, closing(sqlite3.connect(new)) as copy:
        live.backup(copy)
    return f"sqlite:///{new}"


def copy_postgres(url, new):
    """A dump, restored into an empty database, as an operator does it."""
    source, target = (one.replace("+psycopg", "") for one in (url, new))
    dump = subprocess.run([shutil.which("pg_dump") or "pg_dump", source], capture_output=True, check=True).stdout
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", target], input=dump, capture_output=True, check=True)
    return new


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request, tmp_path, redis_server):
    """Two databases of one operator: the live one, and where its backup is restored."""
    return Stage(request, tmp_path, redis_server.url)


class Stage:
    def __init__(self, request, folder, redis):
        self.request, self.folder, self.redis = request, folder, redis
        self.keys = {"SECRET_KEY": "s" * 20 + "ecret" * 3, "JWT_SECRET_KEY": "j" * 20 + "ecret" * 3}
        self.app = self.open(self.new_url("live"))
        upgrade(self.app)

    def new_url(self, name):
        if self.request.param == "sqlite":
            return f"sqlite:///{self.folder}/{name}.sqlite3"
        return self.request.getfixturevalue("new_postgres_database")()

    def open(self, url, **more):
        app = create_app(settings(self.folder, DATABASE_URL=url, REDIS_URL=self.redis, **{**self.keys, **more}))
        self.request.addfinalizer(lambda: close(app))
        return app

    def restore(self):
        """A copy of the live database as it is now."""
        live = url_of(self.app)
        if self.request.param == "sqlite":
            return copy_sqlite(live, self.folder / f"{uuid4()}.sqlite3")
        return copy_postgres(live, self.new_url("restored"))


def erased(people, admin, user):
    assert admin.post(f"/api/users/{user.user_id}/erase").status_code == 204


def order(shop, grace, ada):
    body = delivery_in(
        recipient=grace.recipient(), destination=grace.address(), pickup=ada.address(), description=grace["words"]
    )
    response = shop.post("/api/deliveries", json=body, headers={"Idempotency-Key": str(uuid4())})
    assert response.status_code == 201, response.text
    return response.json


def test_what_was_erased_after_the_backup_is_erased_again(stage):
    people, ada, grace, later = People(stage.app), Canaries("ada"), Canaries("grace"), Canaries("later")
    admin, dispatcher = people.admin(), people.dispatcher()
    shop, other = people.customer(name=ada["name"], email=ada.email, phone=ada.phone), people.customer()
    done, still_open = order(shop, grace, ada), order(shop, grace, ada)
    draft = shop.create(draft=True, description=ada["draft"])
    untouched = order(other, later, later)
    dispatcher.move(done, "picked_up", note=grace["note"])
    dispatcher.move(done, "delivered", public_note=grace["public"])
    backup = stage.restore()

    # Life goes on, and what is open in the backup is finished, then erased.
    dispatcher.walk(still_open, "picked_up", "delivered")
    assert admin.post("/api/privacy/erasures", json={"email": grace.email}).status_code == 200
    erased(people, admin, shop)
    new = people.customer()
    erased(people, admin, new)  # not in the backup
    order(other, later, later)
    keep_house(stage.app)
    assert sightings(url_of(stage.app), grace) + sightings(url_of(stage.app), ada) == []

    restored = stage.open(backup)
    assert sightings(backup, grace), "the backup knows them again"
    assert sightings(backup, ada)
    rehearsed = run_json_with(restored, 0, "--dry-run")
    assert (rehearsed["users"], rehearsed["recipients"], rehearsed["deliveries"]) == (2, 1, 2)
    assert sightings(backup, ada), "a dry run changes nothing"

    assert run_json_with(restored, 0) == {**rehearsed, "dry_run": False}

    dispatcher = People(restored).dispatcher()
    assert dispatcher.get(f"/api/deliveries/{still_open['id']}").json["status"] == "pending"
    dispatcher.walk(still_open, "picked_up", "delivered")  # as it was; and then its address goes, too
    keep_house(restored)
    assert sightings(backup, ada) == []
    assert sightings(backup, grace) == []
    assert dispatcher.get(f"/api/deliveries/{done['id']}").json["status"] == "delivered"
    assert dispatcher.get(f"/api/deliveries/{draft['id']}").status_code == 404
    assert dispatcher.get(f"/api/deliveries/{untouched['id']}").json["recipient"]["email"] == later.email
    assert broken(restored) == []
    with restored.app_context():
        assert audit.verify().broken_at is None
        assert db.session.execute(select(User.email).where(User.id == UUID(other.user_id))).scalar_one()
        rows = db.session.execute(select(Erasure)).scalars().all()
        assert len(rows) == 3
        assert all(row.finished_at for row in rows)

    again = run_json_with(restored, 0)
    assert (again["users"], again["recipients"], again["deliveries"]) == (0, 0, 0)
    size = restored.config["ERASURE_LIST"].stat().st_size
    keep_house(restored)
    assert restored.config["ERASURE_LIST"].stat().st_size == size, "the list knew them all"


def test_who_was_invited_or_whose_address_was_wanted_or_had_before_is_erased_again(stage):
    people, kim, later = People(stage.app), Canaries("kim"), Canaries("later")
    admin, wanting, leaving = people.admin(), people.customer(), people.customer()
    hold(stage.app, admin, kim, wanting=wanting, leaving=leaving)
    backup = stage.restore()
    for who in (kim, later):
        assert admin.post("/api/privacy/erasures", json={"email": who.email}).status_code == 200
    keep_house(stage.app)
    assert sightings(url_of(stage.app), kim) == []

    restored = stage.open(backup)
    boss, customer = People(restored).admin(email="b@new.example"), People(restored).customer(email="c@new.example")
    hold(restored, boss, later, wanting=customer, leaving=leaving)  # newer than the erasure
    before = {table for table, _ in sightings(backup, later)}
    rehearsed = run_json_with(restored, 0, "--dry-run")
    assert (rehearsed["recipients"], rehearsed["deliveries"]) == (2, 0)
    assert sightings(backup, kim), "a dry run changes nothing"
    assert run_json_with(restored, 0) == {**rehearsed, "dry_run": False}
    assert sightings(backup, kim) == []
    assert {table for table, _ in sightings(backup, later)} == before - {"users"}, "what is newer is not touched"
    with restored.app_context():
        counts = {str(row.counts) for row in db.session.execute(select(Erasure)).scalars() if row.finished_at}
        assert len(counts) == 2


def run_json_with(app, code, *words):
    result = run(app, "privacy", "reapply", *words, "--json")
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout)


def test_a_delivery_that_is_newer_than_the_erasure_is_not_touched(stage):
    people, grace = People(stage.app), Canaries("grace")
    admin, shop = people.admin(), people.customer()
    admin.post("/api/privacy/erasures", json={"email": grace.email})
    keep_house(stage.app)
    order(shop, grace, grace)
    restored = stage.open(stage.restore())
    with restored.app_context(), db.engine.begin() as connection:
        connection.execute(Erasure.__table__.delete())
    done = run_json_with(restored, 0)
    assert (done["recipients"], done["deliveries"]) == (1, 0)
    assert sightings(url_of(restored), grace)


def test_hashes_of_another_key_cannot_be_compared_and_that_is_said(stage):
    people, grace = People(stage.app), Canaries("grace")
    backup = stage.restore()
    people.admin().post("/api/privacy/erasures", json={"email": grace.email})
    keep_house(stage.app)
    restored = stage.open(backup, SECRET_KEY="another-" * 5)
    result = run(restored, "privacy", "reapply")
    assert result.exit_code == 1
    assert "1 recipients' hashes were made with another SECRET_KEY." in result.stderr


def test_the_last_admin_is_left_and_named(stage):
    people = People(stage.app)
    first = people.admin()
    backup = stage.restore()
    second = people.admin()
    erased(people, second, first)
    keep_house(stage.app)
    restored = stage.open(backup)
    result = run(restored, "privacy", "reapply")
    assert result.exit_code == 1
    assert f"{first.user_id} is the last admin" in result.stderr
    assert "Erased again: 0 accounts" in result.stdout
    People(restored).admin()
    assert run(restored, "privacy", "reapply").exit_code == 0
    assert run_json(restored, "privacy", "reapply")["users"] == 0


def test_a_list_that_is_not_there_or_damaged_is_said(stage):
    missing = run(stage.app, "privacy", "reapply", "--list", stage.folder / "none.jsonl")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "No such file" in missing.stderr
    (stage.folder / "bad.jsonl").write_text("{\n")
    bad = run(stage.app, "privacy", "reapply", "--list", stage.folder / "bad.jsonl")
    assert bad.exit_code == 1
    assert "1 lines of the list cannot be read." in bad.stderr
