"""A restore that is ended leaves the database as it was; one that is killed leaves what the next one clears away."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from delivery.database import db
from scripts.backups import places, postgresql, sqlite
from scripts.backups.failures import Failed
from tests.backups.conftest import ROOT
from tests.commands import run
from tests.servers.waiting import wait_until

STAMP = "20261126t030000z"
on_postgresql = pytest.mark.parametrize("site", ["postgresql"], indirect=True)


def setting(site, database):
    """What is set for a database of this server."""
    query = "SELECT setconfig FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase WHERE datname = :name"
    return asked(site, query, name=database)


def asked(site, query, **values):
    engine = create_engine(make_url(site.url).set(database="postgres"))  # a restore ends who is connected to its own
    try:
        with engine.connect() as connection:
            return connection.execute(text(query), values).scalars().all()
    finally:
        engine.dispose()


def begun(site, backup):
    """A restore, as an operator starts it, that has the old database read-only already."""
    # Where the tests run by nohup, all their children would ignore SIGHUP.
    command = ["env", "--default-signal=HUP", ROOT / "scripts" / "restore.sh", backup, "--replace"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=site.folder)
    wait_until(lambda: setting(site, site.name), what="the database read-only", seconds=60)
    return process


def orphans(site):
    return [name for name in site.databases() if "_restoring_" in name]


@pytest.mark.timeout(240)
@on_postgresql
def test_a_signal_undoes_a_restore_and_what_kill_leaves_is_told_and_cleared(site):
    site.fill()
    backup = site.backup()
    rows = site.rows()
    process = begun(site, backup)
    for _ in "impatient":
        process.send_signal(signal.SIGHUP)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "Error: interrupted; nothing was changed.\n")
    assert (setting(site, site.name), site.databases()) == ([], [site.name])
    assert site.rows() == rows

    process = begun(site, backup)
    process.kill()
    process.communicate(timeout=60)
    (orphan,) = orphans(site)
    _told(site)
    wait_until(lambda: not asked(site, *_connected(orphan)), what="the orphan left alone", seconds=30)
    site.close()
    done = site.script("restore.sh", backup, "--replace")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"A restore was killed here: {orphan} is dropped." in done.stdout
    assert f"{site.name} takes writes again" in done.stdout
    (before,) = (name for name in site.databases() if "_before_" in name)
    assert (orphans(site), setting(site, site.name), setting(site, before)) == ([], [], [])
    assert site.rows(site.url.replace(f"/{site.name}", f"/{before}")) == rows


def _connected(database):
    return (f"SELECT 1 FROM pg_stat_activity WHERE datname = '{database}'",)


def _told(site):
    """Who looks, and who writes, is told in plain words."""
    app = site.reopen()
    told = run(app, "doctor")
    (line,) = (line for line in told.stdout.splitlines() if line.startswith("FAIL  writes"))
    assert f"ALTER DATABASE {site.name} RESET default_transaction_read_only" in line
    assert app.test_client().get("/readyz").json == {"status": "ready", "degraded": ["writes"]}
    for words in (("notifications", "hold", "--reason", "x"), ("restored", "--yes")):
        result = run(app, *words)
        assert result.exit_code == 1
        assert result.stderr == "Error: The database takes no writes at the moment; see `flask doctor`.\n"


@on_postgresql
def test_whoever_connected_while_it_was_read_only_can_write_again(site):
    """A connection that is kept stays read-only for as long as it lasts."""

    def interrupted():
        with postgresql.read_only(places.of(compose=False)):
            result = run(site.app, "notifications", "hold", "--reason", "meanwhile")
            assert "takes no writes" in result.stderr
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with site.app.app_context():
        assert db.session.execute(text("SHOW default_transaction_read_only")).scalar_one() == "off"
    assert run(site.app, "notifications", "hold", "--reason", "afterwards").exit_code == 0


@pytest.fixture
def owned(site, postgres):
    """The place of a deployment whose owner is no superuser, and one of whoever is."""
    site.close()
    owner = f"owner_{site.name}"
    postgres.execute(f'CREATE ROLE "{owner}" LOGIN CREATEDB')
    postgres.execute(f'ALTER DATABASE "{site.name}" OWNER TO "{owner}"')
    of = [
        places.Place("postgresql", site.name, {"PGHOST": str(postgres.folder), "PGUSER": user})
        for user in (owner, "postgres")
    ]
    yield of
    postgres.execute(f'ALTER DATABASE "{site.name}" OWNER TO postgres')
    for what in ("restoring", "before"):
        postgresql.drop(of[1], of[1].beside(what) + STAMP)
    postgres.execute(f'DROP ROLE "{owner}"')


@on_postgresql
def test_who_cannot_be_disconnected_is_named_before_there_is_work_to_lose(site, owned):
    """To such an owner the server hides what a session of another role does."""
    place, above = owned
    new, old = (place.beside(what) + STAMP for what in ("restoring", "before"))
    with postgresql.Session(place, "postgres") as session:
        session.ask(f'CREATE DATABASE "{new}";')
    for step in (
        lambda: postgresql.load(place, site.folder, None, into=f"{new}_not"),
        lambda: postgresql.read_only(place).__enter__(),
        lambda: postgresql.swap(place, new=new, old=old),
    ):
        with postgresql.Session(above, site.name) as stranger:
            with pytest.raises(Failed, match="is in use by postgres, whom its owner may not disconnect") as failure:
                step()
            stranger.ask("SELECT 1;")
        assert failure.value.code == os.EX_TEMPFAIL
        assert (setting(site, site.name), site.databases()) == ([], [site.name, new])
    with postgresql.Session(above, new):
        assert postgresql.clear(place) == [f"{new} is left alone, for somebody is connected to it"]
    with postgresql.Session(place, site.name), postgresql.read_only(place):
        postgresql.swap(place, new=new, old=old)
    assert site.databases() == [site.name, old], "whom the owner may disconnect is disconnected"


def test_two_restores_at_once_do_not_hurt_one_another(site):
    site.fill()
    backup = site.backup()
    site.close()
    engine = sqlite if site.is_sqlite else postgresql
    with engine.locked(places.of(compose=False)):
        line, code = site.refuses(backup, "--replace")
    assert ("another restore into" in line, code) == (True, os.EX_TEMPFAIL)


def test_what_a_killed_restore_left_is_cleared_and_nothing_else(site, postgres):
    place = places.of(compose=False)
    rows, left, near = site.rows(), f"{place.database}_restoring_{STAMP}", f"{place.database}_restoring_mine"
    site.close()
    if site.is_sqlite:
        for path in (left, f"{left}-wal", f"{left}.turn", near):
            Path(path).touch()
        before = Path(f"{place.database}_before_{STAMP}")
        os.link(place.database, before)
        Path(f"{before}-journal").touch()  # of a broken one, put aside first
        told = sqlite.clear(place)
        assert told == [f"{left} is deleted", f"{before}, a second name of the database, is deleted"]
        assert sqlite.clear(place) == []
        assert "_restoring_mine" in "".join(site.databases())
        assert not any(STAMP in name for name in site.databases())
        assert f"{site.name}-journal" in {str(path) for path in site.data.iterdir()}
    else:
        for name in (left, near):
            postgres.execute(f'CREATE DATABASE "{name}"')
        postgres.execute(f'ALTER DATABASE "{site.name}" SET default_transaction_read_only = on')
        postgres.execute(f'ALTER DATABASE "{site.name}" ALLOW_CONNECTIONS false')  # killed just before the swap
        with postgresql.Session(place, left) as session:
            told = postgresql.clear(place)
            session.ask("SELECT 1;")
        alone = f"{left} is left alone, for somebody is connected to it"
        assert told == [f"{site.name} takes writes again", alone]
        wait_until(lambda: not asked(site, *_connected(left)), what="nobody connected", seconds=10)
        assert postgresql.clear(place) == [f"{left} is dropped"]
        assert site.databases() == [site.name, near]
    assert site.rows() == rows


@pytest.mark.parametrize("length", [8, 36, 62, 63])
def test_the_names_beside_a_database_are_never_cut_off_to_its_own(length):
    """PostgreSQL cuts names after 63 bytes: dropping the restored one would drop the live one."""
    place = places.Place("postgresql", "ä" + "d" * (length - 2))
    new, old = (place.beside(what) + STAMP for what in ("restoring", "before"))
    assert len({place.database.encode()[:63], new.encode()[:63], old.encode()[:63]}) == 3
    assert place.made_beside("restoring", [new, old, place.database]) == [new]
