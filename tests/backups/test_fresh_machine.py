"""A backup comes back onto a machine where there is nothing; what nobody brought along is told, not done without."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from delivery.database import db
from delivery.privacy import erasure_list
from scripts.backups import sqlite as of_sqlite
from scripts.backups.failures import Failed
from scripts.backups.places import Place
from tests.commands import run
from tests.factories import People


def emptied(site, postgres):
    """No database and no folder, as on a new host."""
    site.close()
    if not site.is_sqlite:
        postgres.execute(f'DROP DATABASE "{site.name}" WITH (FORCE)')
    shutil.rmtree(site.data)


@pytest.mark.timeout(240)
def test_onto_a_machine_with_nothing_on_it(site, postgres):
    site.fill()
    gone, path = People(site.app).customer(), site.app.config["ERASURE_LIST"]
    admin = People(site.app).admin()
    assert admin.post(f"/api/users/{gone.user_id}/erase").status_code == 204
    with site.app.app_context():
        erasure_list.keep_up(path)
    backup, kept = site.backup(), path.read_bytes()
    deliveries = site.rows()["deliveries"]
    emptied(site, postgres)

    if site.is_sqlite:  # once will do: each restore starts the app twice
        with pytest.raises(Failed, match=r"erasures.jsonl cannot be read: No such file.*--without-erasures goes on"):
            site.restore(backup)
        assert not path.exists(), "no empty list that would pass the next time"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(kept)
    site.restore(backup)
    assert site.rows()["deliveries"] == deliveries
    with site.reopen().app_context():
        assert db.session.execute(text("SELECT count(*) FROM outbox_holds")).scalar_one() == 1


def test_the_log_of_a_file_that_is_gone_is_not_taken_for_one_of_the_restored_file(tmp_path):
    live, new = tmp_path / "live.sqlite3", tmp_path / "new.sqlite3"
    for path in (live, new):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE rows AS SELECT 'restored' AS said")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if path == live:
                connection.execute("UPDATE rows SET said = 'of the one before'")
                log = Path(f"{live}-wal").read_bytes()
    live.unlink()
    Path(f"{live}-wal").write_bytes(log)
    of_sqlite.swap(Place("sqlite", str(live)), new=str(new), old=None)
    with closing(sqlite3.connect(live)) as connection:
        assert connection.execute("SELECT said FROM rows").fetchall() == [("restored",)]


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_the_empty_list_of_a_new_deployment_is_not_taken_for_the_one_that_was_kept(site):
    """Cron makes it as soon as it starts; by it everybody would be remembered again."""
    gone = People(site.app).customer()
    assert People(site.app).admin().post(f"/api/users/{gone.user_id}/erase").status_code == 204
    site.app.config["ERASURE_LIST"].touch()
    result = run(site.app, "restored", "--yes")
    assert result.exit_code == 1
    assert "is empty, though the backup itself knows 1: bring the one that was kept" in result.stderr


@pytest.mark.parametrize("words", [(), ("--database", "another")])
def test_where_nobody_can_be_asked_nothing_is_done(app, words):
    result = run(app, "restored", *words)
    assert (result.exit_code, "give --yes" in result.stderr) == (2, True)
    with app.app_context():
        assert db.session.execute(text("SELECT count(*) FROM outbox_holds")).scalar_one() == 0
