"""Each row once: whoever dies, whoever else works on it, and however often the file is sent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update

from delivery.database import db, new_id, transaction
from delivery.deliveries.models import Delivery
from delivery.imports import running, services
from delivery.imports.jobs import work
from delivery.imports.mapping import Plan
from delivery.imports.models import Import
from delivery.ops import cron
from delivery.ops.leash import leashed
from tests.imports.making import OPTIONS, asked, bad_rows, imported, row, rows, run, table, upload
from tests.servers.waiting import wait_until
from tests.web.answers import problem

ROOT = Path(__file__).parents[2]


def references(app):
    with app.app_context():
        return Counter(db.session.execute(select(Delivery.reference)).scalars())


def state_of(app, import_id):
    with app.app_context():
        return db.session.get(Import, UUID(import_id))


def end_lease(app, import_id):
    """As if so much time had passed."""
    with app.app_context(), transaction() as session:
        session.execute(update(Import).where(Import.id == UUID(import_id)).values(next_at=Import.created_at))


class Died(BaseException):
    """A process that ends here and now."""


def die_at(monkeypatch, batch):
    """Have whoever works die in a batch, just before its commit."""
    count = Counter()

    def write_down(self, *args):
        write(self, *args)
        count["batches"] += 1
        if count["batches"] == batch:
            raise Died

    write = running._Run._write_down
    monkeypatch.setattr(running._Run, "_write_down", write_down)


def test_a_worker_that_dies_leaves_half_a_batch_to_nobody_and_the_next_goes_on(app, api, monkeypatch):
    monkeypatch.setattr(running, "BATCH_ROWS", 10)
    import_id = asked(app, api.user_id, data=table(rows(35)))
    die_at(monkeypatch, 3)
    with app.app_context(), pytest.raises(Died):
        work(seconds=30)
    seen = state_of(app, import_id)
    assert (seen.state, seen.rows_done, seen.last_row, len(references(app))) == ("running", 20, 21, 20)
    run(app)
    assert state_of(app, import_id).rows_done == 20, "its lease has not ended"

    end_lease(app, import_id)
    run(app)

    assert state_of(app, import_id).state == "completed"
    assert references(app) == Counter(f"SO-{number}" for number in range(1, 36))


@pytest.mark.timeout(120)
def test_a_real_worker_that_is_killed_makes_no_row_twice(app, api, redis_server, tmp_path):
    import_id = asked(app, api.user_id, data=table([[*cells[:0], "", *cells[1:]] for cells in rows(6000)]))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST"))} | {
        "DATA_DIR": str(tmp_path), "REDIS_URL": redis_server.url, "FLASK_APP": "wsgi:app", "LOG_FORMAT": "text",
        "DATABASE_URL": app.config["DATABASE_URL"].replace("postgresql+psycopg:", "postgresql:"),
    }  # fmt: skip
    with (tmp_path / "worker.log").open("wb") as log:
        command = leashed([sys.executable, "-m", "flask", "worker", "imports"], signal=signal.SIGKILL)
        worker = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        with app.app_context():
            wait_until(
                lambda: cron.sweep() or state_of(app, import_id).rows_done > 0, what="the first rows", seconds=60
            )
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    killed_at = state_of(app, import_id).rows_done
    assert 0 < killed_at < 6000, (tmp_path / "worker.log").read_text()

    end_lease(app, import_id)
    run(app)

    ended = state_of(app, import_id)
    with app.app_context():  # without a reference nothing but the import's own place keeps a row from being made twice
        lines = Counter(place["line1"] for place in db.session.execute(select(Delivery.destination)).scalars())
    assert (ended.state, ended.created) == ("completed", 6000)
    assert lines == Counter(f"{number} Harbour Street" for number in range(1, 6001))


def test_workers_at_once_share_the_work_and_make_each_row_once(app, api):
    names = [asked(app, api.user_id, data=table([row(f"{part}-{number}") for number in range(300)])) for part in "abc"]

    def one():
        with app.app_context():
            while any(state_of(app, name).finished_at is None for name in names):
                work(seconds=0.05)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state_of(app, name).state for name in names] == ["completed"] * 3
    assert references(app) == Counter(f"SO-{part}-{number}" for part in "abc" for number in range(300))


def test_who_has_lost_the_lease_writes_nothing(app, api):
    import_id = asked(app, api.user_id)
    with app.app_context():
        slow = running.claim()
        end_lease(app, import_id)
        quick = running.claim()
        running.work_on(slow, until=time.monotonic() + 9)
        assert references(app) == Counter()
        running.work_on(quick, until=time.monotonic() + 9)
    assert state_of(app, import_id).created == len(references(app)) == 2


def test_an_import_that_kills_its_workers_is_given_up(app, api, monkeypatch):
    import_id = asked(app, api.user_id)
    monkeypatch.setattr(running, "make", lambda *_, **__: 1 / 0)
    for _ in range(running.MOST_ATTEMPTS + 1):
        run(app)
        end_lease(app, import_id)
    seen = state_of(app, import_id)
    assert (seen.state, seen.error_code, seen.rows_done) == ("failed", "gave_up", 0)
    assert references(app) == Counter()


def test_who_may_nothing_any_more_imports_nothing(app, people):
    owner, admin = people.customer(), people.admin()
    response = upload(owner, table(rows(2)))
    etag = admin.get(f"/api/users/{owner.user_id}").headers["ETag"]
    assert (
        admin.patch(f"/api/users/{owner.user_id}", json={"active": False}, headers={"If-Match": etag}).status_code
        == 200
    )
    run(app)
    seen = state_of(app, response.json["id"])
    assert (seen.state, seen.error_code) == ("failed", "account_inactive")
    assert references(app) == Counter()


def test_a_cancelled_import_stops_and_keeps_what_it_has_made(app, api, monkeypatch):
    monkeypatch.setattr(running, "BATCH_ROWS", 10)
    import_id = upload(api, table(rows(30))).json["id"]
    with app.app_context():
        claimed = running.claim()
        running.work_on(claimed, until=0)  # one batch
        cancelled = api.post(f"/api/imports/{import_id}/cancel")
        assert (cancelled.status_code, cancelled.json["state"], cancelled.json["rows"]["done"]) == (
            200,
            "cancelled",
            10,
        )
        running.work_on(claimed, until=time.monotonic() + 9)
    run(app)
    assert len(references(app)) == 10
    problem(api.post(f"/api/imports/{import_id}/cancel"), 409, "finished")


def test_the_same_file_is_imported_once(api):
    data = table(rows(2))
    done = imported(api, data)
    refused = upload(api, data)
    problem(refused, 409, "already_imported")
    assert refused.json["existing_id"] == done["id"]
    again = imported(api, data, options={**OPTIONS, "again": True})
    assert (again["rows"]["created"], again["rows"]["skipped"]) == (0, 2)
    other = {**OPTIONS, "defaults": {"item_name": "Other"}}
    assert upload(api, data, options=other).status_code == 202, "read otherwise it is another import"


def test_the_same_file_of_two_owners_is_two_imports(people):
    data = table(rows(2))
    assert [imported(people.customer(), data)["rows"]["created"] for _ in range(2)] == [2, 2]


def test_a_cancelled_file_may_be_sent_again(api):
    data = table(rows(2))
    first = upload(api, data).json["id"]
    assert api.post(f"/api/imports/{first}/cancel").status_code == 200
    assert imported(api, data)["rows"]["created"] == 2


def test_two_uploads_of_one_file_at_once_are_one_import(app, api):
    data, statuses = table(rows(2)), []
    threads = [
        threading.Thread(target=lambda: statuses.append(upload(api_of(app, api), data).status_code)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202, *[409] * 5]


def api_of(app, api):
    """The same person with a client of their own."""
    twin = type(api)(app, user_id=api.user_id, token="")
    twin.headers = api.headers
    return twin


def test_a_key_makes_an_upload_safe_to_repeat(api):
    data, key = table(rows(2)), {"Idempotency-Key": "upload-1"}
    first, second = upload(api, data, headers=key), upload(api, data, headers=key)
    assert (first.status_code, second.status_code, second.json) == (202, 202, first.json)
    assert second.headers["Idempotent-Replayed"] == "true"
    problem(upload(api, table(rows(3)), headers=key), 422, "key_reused")
    run(api.app)
    assert len(references(api.app)) == 2


def test_a_reference_that_comes_twice_in_a_file_is_a_duplicate_there_too(api):
    data = table([row(1, name="First"), row(2), row(1, name="Second")])
    options = {**OPTIONS, "again": True}
    assert counts(imported(api, data, options={**options, "dry_run": True})) == (2, 0, 1, 0)
    assert counts(imported(api, data)) == (2, 0, 1, 0)
    again = imported(api, data, options={**options, "on_duplicate": "update"})
    assert counts(again) == (0, 1, 2, 0)
    done = imported(api, data, options={**options, "on_duplicate": "error"})
    assert counts(done) == (0, 0, 0, 3)
    assert [one["import_row"] for one in bad_rows(api, done)] == ["2", "3", "4"]


def counts(done):
    return tuple(done["rows"][name] for name in ("created", "updated", "skipped", "failed"))


def test_an_update_changes_what_the_file_says_and_nothing_else(api):
    made = api.create(reference="SO-1", tags=["kept"], description="Kept", package={"pieces": 2, "weight_grams": 9})
    settings = {
        "mapping": {"reference": "id", "item_name": "what", "recipient.name": "who", "package.pieces": "n"},
        "defaults": {"destination.line1": "1 Quay", "destination.city": "Bristol", "destination.country": "GB"},
        "on_duplicate": "update",
    }
    done = imported(
        api, table([["SO-1", "Red bicycle", "Ada", "3"]], header=["id", "what", "who", "n"]), options=settings
    )
    assert counts(done) == (0, 1, 0, 0)
    changed = api.get(f"/api/deliveries/{made['id']}").json
    assert (changed["version"], changed["item_name"], changed["recipient"]["name"]) == (2, "Red bicycle", "Ada")
    assert (changed["tags"], changed["description"], changed["recipient"]["email"]) == (
        ["kept"],
        "Kept",
        "grace@home.example",
    )
    assert changed["package"] == {"pieces": 3, "weight_grams": 9}
    again = imported(api, table([["SO-1", "Red bicycle", "Ada", "3"]], header=["id", "what", "who", "n"]),
                     options={**settings, "again": True})  # fmt: skip
    assert counts(again) == (0, 0, 1, 0), "what is so already is no change"
    api.walk(changed, "cancelled")
    late = imported(api, table([["SO-1", "Blue", "Ada", "3"]], header=["id", "what", "who", "n"]), options=settings)
    assert counts(late) == (0, 0, 0, 1)


def test_a_dry_run_makes_nothing_and_says_what_would_be(api):
    api.create(reference="SO-1")
    data = table([row(1), row(2), row(3, mail="wrong")])
    trial = imported(api, data, options={**OPTIONS, "dry_run": True})
    assert (counts(trial), len(references(api.app))) == ((1, 0, 1, 1), 1)
    assert counts(imported(api, data)) == (1, 0, 1, 1)


def test_history_says_who_imported(api):
    imported(api, table(rows(1)), headers=None)
    delivery = api.get("/api/deliveries").json["items"][0]
    [event] = api.history(delivery)
    assert (event["actor_type"], event["actor_id"], event["to_state"]) == ("user", api.user_id, "pending")
    assert event["request_id"]


def test_people_are_told_only_when_they_are_to_be(api):
    imported(api, table(rows(2)))
    assert api.get("/api/notifications").json["items"] == []
    imported(api, table([row(3)]), options={**OPTIONS, "notify": True})
    told = api.get("/api/notifications").json["items"]
    assert sorted(one["audience"] for one in told) == ["recipient", "sender"]
    for delivery in api.get("/api/deliveries").json["items"]:
        api.walk(delivery, "cancelled")
    assert len(api.get("/api/notifications?limit=100").json["items"]) > 4, "later news is told as always"


def test_a_dispatcher_imports_for_an_owner_and_both_see_it(people, app):
    owner, dispatcher, other = people.customer(), people.dispatcher(), people.customer()
    done = imported(dispatcher, table(rows(1)), options={**OPTIONS, "owner_id": owner.user_id})
    assert (
        owner.get(f"/api/imports/{done['id']}").status_code
        == dispatcher.get(f"/api/imports/{done['id']}").status_code
        == 200
    )
    for path in ("", "/errors.csv"):
        problem(other.get(f"/api/imports/{done['id']}{path}"), 404)
    assert other.get("/api/imports").json["items"] == []
    assert owner.get("/api/deliveries").json["items"][0]["owner_id"] == owner.user_id
    problem(upload(other, table(rows(1)), options={**OPTIONS, "owner_id": owner.user_id}), 403)


def test_the_sweep_does_it_where_no_worker_can_be_woken(make_app, people):
    alone = make_app(REDIS_URL="redis://127.0.0.1:1")
    owner = people.customer()
    import_id = asked(alone, owner.user_id)
    with alone.app_context():
        cron.sweep()
    assert state_of(alone, import_id).state == "completed"


def test_the_longest_waiting_comes_first_and_none_starves(app, api, monkeypatch):
    monkeypatch.setattr(running, "BATCH_ROWS", 10)
    first, second = (asked(app, api.user_id, data=table([row(f"{part}{n}") for n in range(30)])) for part in "ab")
    with app.app_context():
        order = []
        for _ in range(4):
            claimed = running.claim()
            order.append(str(claimed.id))
            running.work_on(claimed, until=0)
    assert order == [first, second, first, second]


def test_who_works_alone_goes_on_beyond_their_turn_and_gives_way_to_who_waits(app, api, monkeypatch):
    monkeypatch.setattr(running, "BATCH_ROWS", 10)
    alone = asked(app, api.user_id, data=table([row(f"a{n}") for n in range(30)]))
    with app.app_context():
        running.work_on(running.claim(), until=time.monotonic() + 60, turn=0)
        assert state_of(app, alone).state == "completed"
        first, _second = (asked(app, api.user_id, data=table([row(f"{part}{n}") for n in range(30)])) for part in "bc")
        running.work_on(running.claim(), until=time.monotonic() + 60, turn=0)
    assert (state_of(app, first).state, state_of(app, first).rows_done) == ("running", 10)


def test_a_row_that_breaks_the_check_keeps_those_before_it(app, api, monkeypatch):
    monkeypatch.setattr(running, "BATCH_ROWS", 10)
    import_id = asked(app, api.user_id, data=table(rows(35)))
    read = Plan.read
    monkeypatch.setattr(Plan, "read", lambda self, number, cells: read(self, number, cells) if number < 25 else 1 / 0)
    run(app)
    assert state_of(app, import_id).rows_done == len(references(app)) == 20


def test_ending_twice_is_ending_once(app, api):
    import_id = UUID(asked(app, api.user_id))
    with app.app_context(), transaction():
        assert services.end(import_id, "cancelled") is not None
        assert services.end(import_id, "failed") is None
        assert services.end(new_id(), "failed") is None
