"""The list of erasures outside the database: whole, whoever dies or writes at the same time."""

import json

import pytest

from delivery.ops.housekeeping import Housekeeping
from delivery.privacy import erasure_list
from tests.commands import run
from tests.privacy.canaries import Canaries
from tests.web.racing import race


@pytest.fixture
def admin(people):
    return people.admin()


@pytest.fixture
def path(app):
    return app.config["ERASURE_LIST"]


def erase(admin, count=1):
    return [admin.post("/api/privacy/erasures", json={"email": Canaries("x").email}).json["id"] for _ in range(count)]


def keep_up(app, path):
    with app.app_context():
        return erasure_list.keep_up(path)


def listed(path):
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def test_cron_writes_each_erasure_down_once(app, people, admin, path):
    ids, leaver = erase(admin, 2), people.customer()
    leaver.post(f"/api/users/{leaver.user_id}/erase")
    for _ in range(2):
        with app.app_context():
            Housekeeping().do()
    assert listed(path)[:2] == ids
    assert len(listed(path)) == 3
    lines, unreadable = erasure_list.read(path)
    assert unreadable == 0
    assert [str(line.user_id) for line in lines if line.kind == "user"] == [leaver.user_id]
    assert path.stat().st_mode & 0o077 == 0


def test_it_holds_ids_and_hashes_only(app, people, path):
    ada = Canaries("ada")
    leaver = people.customer(name=ada["name"], email=ada.email, phone=ada.phone)
    people.admin().post("/api/privacy/erasures", json={"email": ada.email, "phone": ada.phone})
    leaver.post(f"/api/users/{leaver.user_id}/erase")
    keep_up(app, path)
    text = path.read_text()
    assert not [word for word in ada.all() if word in text]


def test_a_line_that_a_dying_process_left_unfinished_is_written_anew(app, admin, path):
    ids = erase(admin, 2)
    keep_up(app, path)
    whole = path.read_bytes()
    for cut in (1, 20, len(whole.splitlines()[1])):
        path.write_bytes(whole[:-cut])
        assert keep_up(app, path) == 1
        assert path.read_bytes() == whole
    assert listed(path) == ids


def test_a_line_that_the_disk_damaged_is_written_anew_and_told_of(app, admin, path):
    ids = erase(admin, 2)
    keep_up(app, path)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"{}\n" + b"\xff" + first[1:] + second)
    assert keep_up(app, path) == 1
    lines, unreadable = erasure_list.read(path)
    assert ({str(line.id) for line in lines}, unreadable) == (set(ids), 2)


def test_a_list_that_is_lost_is_written_whole(app, admin, path):
    ids = erase(admin, 3)
    keep_up(app, path)
    path.unlink()
    assert keep_up(app, path) == 3
    assert listed(path) == ids


def test_two_crons_write_each_erasure_once(app, admin, path, monkeypatch):
    monkeypatch.setattr(erasure_list, "_BATCH", 2)
    ids = erase(admin, 7)
    counts = race(*[lambda: keep_up(app, path)] * 4)
    assert sorted(counts) == [0, 0, 0, 7]
    assert sorted(listed(path)) == ids


def test_what_the_database_no_longer_knows_stays(app, admin, path):
    erase(admin)
    keep_up(app, path)
    other = path.read_bytes().replace(listed(path)[0].encode(), b"01a21903-25d0-7532-87c2-04b7ef704402")
    path.write_bytes(other)
    keep_up(app, path)
    assert path.read_bytes().startswith(other)
    assert len(listed(path)) == 2


def test_a_disk_that_fails_stops_nothing_else_and_is_logged(app, make_app, admin, tmp_path, caplog):
    erase(admin)
    (tmp_path / "file").write_text("no folder")
    broken = make_app(ERASURE_LIST=tmp_path / "file" / "list")
    with broken.app_context():
        Housekeeping().do()
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == [
        "the list of erasures cannot be written"
    ]


def test_the_doctor_counts_what_the_list_lacks(app, admin, path):
    def finding():
        return next(line for line in run(app, "doctor").stdout.splitlines() if "erasures" in line)

    assert finding() == "ok    erasures        the list lacks none"
    erase(admin, 2)
    assert finding().startswith("warn  erasures        the list lacks 2  -> wait a minute;")
    keep_up(app, path)
    assert finding() == "ok    erasures        the list lacks none"
