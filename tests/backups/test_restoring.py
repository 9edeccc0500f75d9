"""A backup brings every row back, and its restore undoes nothing that must stay done."""

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from delivery.database import db, transaction
from delivery.notifications import claims
from delivery.notifications.jobs import deliver
from delivery.notifications.states import Channel
from delivery.ops import cron
from delivery.privacy import erasure_list
from scripts.backups import manifest, places, postgresql
from scripts.backups import sqlite as of_sqlite
from scripts.backups.failures import Failed
from tests.commands import run_json
from tests.factories import People
from tests.notifications.conftest import Outbox

# What a restore itself writes; all else is as it was.
WRITTEN = {"outbox_holds", "feed_floors", "audit_entries", "auth_sessions", "refresh_tokens", "users", "erasures"}


@pytest.mark.timeout(240)
def test_every_row_comes_back_and_nothing_is_sent_or_undone(site):
    """One long life, because each restore starts the app twice: row by row, erasures, sessions, feed, outbox, files."""
    (site.data / "proofs").mkdir()
    (site.data / "proofs" / "photo").write_bytes(b"\xff\xd8 as it was")
    shop = site.fill()
    gone = People(site.app).customer()
    saved = site.rows()
    backup = site.backup()
    database = "database.sqlite3.gz" if site.is_sqlite else "database.dump"
    names = {path.name for path in backup.iterdir()}
    assert names == {"SHA256SUMS", "manifest.json", "files.tar.gz", database}

    # Life goes on: a delivery that will be gone, somebody who is erased, a photo that is spoilt.
    lost = shop.create(reference="later")
    admin = People(site.app).admin()
    assert admin.post(f"/api/users/{gone.user_id}/erase").status_code == 204
    (site.data / "proofs" / "photo").write_bytes(b"spoilt")
    (site.data / "proofs" / "newer").write_bytes(b"stays")
    with site.app.app_context():
        assert erasure_list.lacking(site.app.config["ERASURE_LIST"]) == 1, "cron has not written it yet"
    site.close()

    message, code = site.refuses(backup)
    assert ("give --replace" in message, code) == (True, 73)
    site.restore(backup, "--replace")

    restored = site.rows()
    assert len(saved) > 20
    assert [name for name in saved if name not in WRITTEN and restored[name] != saved[name]] == []
    assert set(saved["audit_entries"]) < set(restored["audit_entries"])
    assert len(restored["users"]) == len(saved["users"])
    assert site.listing() == {"photo": b"\xff\xd8 as it was", "newer": b"stays"}
    assert any("_before_" in name for name in site.databases()), "what was there is kept"

    app = site.reopen()
    with app.app_context():
        erased = db.session.execute(text("SELECT count(*) FROM users WHERE erased_at IS NOT NULL")).scalar_one()
        assert erased == 1, "forgotten once more, though only the other database knew"
        _nothing_is_sent(app)
    assert shop.get(f"/api/deliveries/{lost['id']}").status_code == 401, "every session has ended"
    with app.app_context():
        _later_events_are_above(app)
        kept = run_json(app, "notifications", "release", "--keep-back")["kept_back"]
        assert kept == 8
        outbox = Outbox(app)
        deliver("mail", seconds=5)
        assert outbox.mail.sent == [], "nobody is told twice by itself"
        uncertain = db.session.execute(text("SELECT count(*) FROM outbox_messages WHERE state = 'uncertain'"))
        assert uncertain.scalar_one() == kept


def _nothing_is_sent(app):
    outbox = Outbox(app)
    for channel in Channel:
        deliver(channel, seconds=5)
        with transaction():
            assert claims.claim(channel, limit=100) == []
    cron.sweep()
    assert [*outbox.mail.sent, *outbox.sms.sent, *outbox.webhook.sent] == []
    states = set(db.session.execute(text("SELECT state FROM outbox_messages")).scalars())
    assert states == {"pending"}


def _later_events_are_above(app):
    before = db.session.execute(text("SELECT count(*) FROM delivery_events")).scalar_one()
    db.session.rollback()
    shop = People(app).customer()
    shop.create()
    cron.sweep()
    newest = db.session.execute(text("SELECT max(position) FROM delivery_events")).scalar_one()
    assert newest > 1_000_000_000 > before
    page = shop.get("/api/events").json
    assert [one["type"] for one in page["items"]] == ["delivery.created"], "one page, however far the leap"
    db.session.rollback()
    with transaction() as session:
        session.execute(text("DELETE FROM outbox_messages WHERE created_at > (SELECT max(held_at) FROM outbox_holds)"))


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_broken_database_is_put_aside_byte_for_byte(site):
    """With what nobody brought into it; while somebody has it open, it stays."""
    site.fill()
    backup, rows, live = site.backup(), site.rows(), Path(site.name)
    site.close()
    log = Path(f"{live}-wal")
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE alembic_version SET version_num = 'in the log'")
        connection.commit()
        written = log.read_bytes()
    site.app.config["ERASURE_LIST"].touch()  # cron's
    spoilt = b"\xff" * 4096 + live.read_bytes()[4096:]
    live.write_bytes(spoilt)
    log.write_bytes(written)

    def refused(*words):
        with pytest.raises(Failed) as failure:
            site.restore(backup, *words)
        assert (live.read_bytes(), log.read_bytes()) == (spoilt, written)
        assert not [name for name in site.databases() if "_restoring_" in name or "_before_" in name]
        return str(failure.value), failure.value.code

    assert refused() == (
        f"{live} cannot be read as a database: give --replace to put the backup in its place",
        os.EX_CANTCREAT,
    )
    with live.open("rb"):
        assert refused("--replace") == (f"{live} is in use: stop API, worker and cron first", os.EX_TEMPFAIL)
    site.restore(backup, "--replace")
    assert site.rows()["deliveries"] == rows["deliveries"]
    (before,) = (path for path in site.data.iterdir() if sqlite_before(path.name))
    assert before.read_bytes() == spoilt
    assert before.with_name(f"{before.name}-wal").read_bytes() == written


def sqlite_before(name):
    return "_before_" in name and not name.endswith(("-wal", "-shm"))


def test_a_backup_is_of_one_moment_while_others_write(site):
    shop = site.fill()
    stop, made = threading.Event(), []

    def write():
        while not stop.is_set():
            made.append(shop.create())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backup = site.backup()
    finally:
        stop.set()
        writer.join()
    assert made
    site.close()
    site.restore(backup, "--check")  # and the rows are those that were counted, or load() would refuse
    place, engine, found = _opened(site, backup)
    into = f"{place.database}_copy"
    try:
        engine.load(place, backup, found, into=into)
        assert len(site.rows(_url(site, into))["deliveries"]) == found.tables["deliveries"] < len(made) + 3 + 1
    finally:
        engine.drop(place, into)
    # A delivery, its event and its messages are one transaction.
    assert found.tables["deliveries"] + 1 == found.tables["delivery_events"]


def _url(site, database):
    return f"sqlite:///{database}" if site.is_sqlite else site.url.replace(f"/{site.name}", f"/{database}")


def _opened(site, backup):
    return places.of(compose=False), of_sqlite if site.is_sqlite else postgresql, manifest.checked(backup)
