"""What is no whole backup of ours is refused in one line, with nothing touched; a failed backup leaves none behind."""

import gzip
import json
import os
import shutil
import stat

import pytest
from sqlalchemy import create_engine, text

from scripts.backups import manifest
from scripts.backups.failures import Failed, of_files
from tests.backups.conftest import KEYS

DATA = os.EX_DATAERR


def edit(backup, **changes):
    """Change the manifest, as somebody does who also mends the hashes."""
    path = backup / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    sums(backup)


def sums(backup):
    (backup / "SHA256SUMS").unlink()
    names = sorted(path.name for path in backup.iterdir())
    lines = (f"{manifest.sha256(backup / name)}  {name}\n" for name in names)
    (backup / "SHA256SUMS").write_text("".join(lines))


def unnamed(backup, which):
    """As SHA256SUMS is after somebody has cut a line off, and the file may be anything."""
    path = backup / "SHA256SUMS"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if which not in line))


def database(backup):
    return next(backup.glob("database.*"))


def cut(backup):
    path = database(backup)
    path.write_bytes(path.read_bytes()[:-100])


def flip(backup):
    path, content = database(backup), bytearray(database(backup).read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(backup):
    database(backup).write_bytes(b"PGDMP, but not really" * 100)
    sums(backup)


def hello(backup):
    """A file that gzip takes for whole."""
    database(backup).write_bytes(gzip.compress(b"hello"))
    sums(backup)


SPOILT = (
    (hello, ""),
    (cut, "is damaged"),
    (flip, "is damaged"),
    (foreign, ""),
    (lambda backup: database(backup).unlink(), "is missing"),
    (lambda backup: (backup / "manifest.json").unlink(), "manifest.json is missing"),
    (lambda backup: (backup / "SHA256SUMS").unlink(), "it has no SHA256SUMS"),
    (lambda backup: (backup / "SHA256SUMS").write_bytes(b"\xff\x00"), "cannot be read"),
    (lambda backup: unnamed(backup, "database."), "SHA256SUMS does not name database."),
    (lambda backup: unnamed(backup, "files.tar.gz"), "SHA256SUMS does not name files.tar.gz"),
    (lambda backup: edit(backup, revision="from_the_future", version="9.9"), "use the code that made it, or newer"),
    (lambda backup: edit(backup, product="another"), "its manifest cannot be read"),
    (lambda backup: edit(backup, format=2), "its manifest cannot be read"),
    (lambda backup: edit(backup, database="../../etc/passwd"), "its manifest cannot be read"),
    (lambda backup: edit(backup, more=1), "its manifest cannot be read"),
    (lambda backup: shutil.rmtree(backup) or backup.write_text("a file"), "it has no SHA256SUMS"),
)


def test_what_is_no_whole_backup_is_refused(site):
    site.fill()
    whole = site.backup()
    site.close()
    site.restore(whole, "--check")
    for number, (spoil, says) in enumerate(SPOILT):
        backup = shutil.copytree(whole, site.folder / f"spoilt-{number}")
        spoil(backup)
        line, code = site.refuses(backup, "--replace")
        assert (says in line, code) == (True, DATA), line


def test_a_manifest_with_something_else_where_words_and_numbers_belong_is_refused(tmp_path):
    (tmp_path / "database.dump").touch()
    manifest.write(tmp_path, manifest.Manifest("1", "now", "sqlite", "r", {"users": 3}, "database.dump", None, None))
    assert manifest.whole(tmp_path).tables == {"users": 3}
    saved = json.loads((tmp_path / "manifest.json").read_text())
    spoilt = [
        {**saved, name: wrong} for name in saved for wrong in (1, 1.5, True, [1], {"a": "b"}, {"a": None}, "a\nb")
    ]
    for found in [*spoilt, *({**saved, name: None} for name in saved if name not in {"files", "sealed"}), [], None]:
        if found == saved:  # True is 1
            continue
        (tmp_path / "manifest.json").write_text(json.dumps(found))
        sums(tmp_path)
        with pytest.raises(Failed, match="its manifest cannot be read") as refused:
            manifest.whole(tmp_path)
        assert refused.value.code == DATA


def test_a_dump_with_too_few_rows_is_dropped_again(site):
    """The hashes say that the file is what was written, not that all of it was."""
    site.fill()
    backup = site.backup()
    site.close()
    tables = json.loads((backup / "manifest.json").read_text())["tables"]
    edit(backup, tables={**tables, "deliveries": 4})
    line, code = site.refuses(backup, "--replace")
    assert ("have not the rows" in line, code) == (True, DATA)


def test_a_backup_of_the_other_engine_is_refused(site):
    backup = site.backup()
    edit(backup, engine="postgresql" if site.is_sqlite else "sqlite")
    line, code = site.refuses(backup, "--replace")
    assert ("the settings name" in line, code) == (True, DATA)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_database_that_somebody_has_open_is_not_replaced(site):
    site.fill()
    backup = site.backup()
    with site.app.app_context():
        from delivery.database import reader  # noqa: PLC0415

        reader()
        line, code = site.refuses(backup, "--replace")
    assert ("is in use: stop API, worker and cron" in line, code) == (True, os.EX_TEMPFAIL)


def failed(site, *words):
    with pytest.raises((Failed, OSError)) as caught:
        site.backup(*words)
    failure = caught.value if isinstance(caught.value, Failed) else of_files(caught.value)
    assert "\n" not in str(failure)
    assert site.kept() == []
    assert [path.name for path in site.backups.glob("*")] == [".lock"]
    return str(failure), failure.code


def test_a_database_that_is_not_there_is_no_backup(site):
    site.patch.setenv("DATABASE_URL", site.url.replace(site.name, f"{site.name}_gone"))
    _, code = failed(site)
    assert code == os.EX_UNAVAILABLE


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_an_unreachable_server_and_a_password_stay_out_of_the_line(site):
    site.patch.setenv("DATABASE_URL", "postgresql://delivery:canary-7f3@127.0.0.1:1/delivery")
    line, code = failed(site)
    assert ("canary-7f3" in line, code) == (False, os.EX_UNAVAILABLE)


def test_a_database_without_our_tables_is_no_backup(site, request):
    if site.is_sqlite:
        (site.data / "empty.sqlite3").touch()
        url = f"sqlite:///{site.data}/empty.sqlite3"
    else:
        url = request.getfixturevalue("new_postgres_database")()
    site.patch.setenv("DATABASE_URL", url)
    line, code = failed(site)
    assert ("has no tables of ours" in line, code) == (True, DATA)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
def test_a_full_disk_is_one_line_and_leaves_nothing(site):
    def full(path, *_arguments, how):
        with open("/dev/full", "wb") as file:  # noqa: PTH123
            file.write(b"x" * 100)

    site.patch.setattr("scripts.backups.sealing.write", full)
    line, code = failed(site)
    assert ("No space left on device" in line, code) == (True, os.EX_IOERR)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_schema_newer_than_the_code_is_saved_and_restored_by_the_newer_release(site, capsys):
    """As after a rollback of the code, when a backup may be wanted most."""
    engine = create_engine(site.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))
    engine.dispose()
    backup = site.backup()
    _, told = capsys.readouterr().out.splitlines()
    assert told == "Its schema (from_the_future) is newer than this code: restoring it needs the newer release."
    site.close()
    line, code = site.refuses(backup, "--check")
    assert ("use the code that made it, or newer" in line, code) == (True, DATA)


def test_settings_that_make_no_sense_are_refused(site):
    site.patch.setenv("BACKUP_AGE_RECIPIENT", "age1x")
    site.patch.setenv("BACKUP_GPG_RECIPIENT", "x")
    with pytest.raises(Failed, match="not both") as failure:
        site.backup()
    assert failure.value.code == os.EX_CONFIG


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize("count", ["abc", "-1", "1.5", "٣"])
def test_a_number_of_backups_that_is_none_is_refused(site, count, capsys):
    site.patch.setenv("BACKUP_KEEP_DAILY", count)
    with pytest.raises(Failed, match="BACKUP_KEEP_DAILY: expected a whole number, 0 or more") as failure:
        site.backup()
    assert failure.value.code == os.EX_CONFIG
    site.patch.delenv("BACKUP_KEEP_DAILY")
    with pytest.raises(SystemExit) as wrong:
        site.backup(f"--keep={count}")
    assert wrong.value.code == 2
    assert "argument --keep: expected a whole number" in capsys.readouterr().err
    assert not site.backups.exists()


def test_nobody_else_reads_a_backup_and_no_key_is_in_it(site):
    site.fill()
    (site.data / "secrets.env").write_text(f"SECRET_KEY={KEYS['SECRET_KEY']}\n")
    os.umask(0o077)
    backup = site.backup()
    assert {stat.S_IMODE(path.stat().st_mode) for path in backup.iterdir()} == {0o600}
    import subprocess  # noqa: PLC0415

    listed = subprocess.run(["tar", "tzf", backup / "files.tar.gz"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() in (["./"], [])
    assert KEYS["SECRET_KEY"].encode() not in b"".join(path.read_bytes() for path in backup.iterdir())
