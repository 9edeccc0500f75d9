"""An encrypted backup says nothing without the key, and is refused untouched when the key is another."""

import os
import shutil
import subprocess

import pytest

from scripts.backups.failures import Failed
from tests.servers.folders import short_folder

on_one = pytest.mark.parametrize("site", ["postgresql"], indirect=True)


@pytest.fixture
def gpg(monkeypatch):
    """A key ring of its own with one key; GNUPGHOME points there."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed")
    with short_folder("gpg-") as home:
        monkeypatch.setenv("GNUPGHOME", str(home))
        made = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "ops@example.com", "default"]
        subprocess.run([*made, "default", "never"], check=True, capture_output=True)
        yield home
        subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)


def sealed(site, kind):
    site.fill()
    backup = site.backup()
    assert all(path.suffix == f".{kind}" for path in backup.iterdir() if path.name.startswith(("database", "files")))
    content = b"".join(path.read_bytes() for path in backup.iterdir())
    assert b"PGDMP" not in content
    site.close()
    return backup


@on_one
def test_by_gpg(site, gpg, monkeypatch):
    monkeypatch.setenv("BACKUP_GPG_RECIPIENT", "ops@example.com")
    backup = sealed(site, "gpg")
    site.restore(backup, "--check")
    with short_folder("gpg-") as nobody:
        monkeypatch.setenv("GNUPGHOME", str(nobody))
        line, code = site.refuses(backup, "--replace")
    assert (line.startswith("gpg: "), code) == (True, os.EX_DATAERR), line


@on_one
def test_by_age(site, tmp_path, monkeypatch):
    if not shutil.which("age-keygen"):
        pytest.skip("age is not installed")
    key = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    shown = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True)
    monkeypatch.setenv("BACKUP_AGE_RECIPIENT", shown.stdout.strip())
    backup = sealed(site, "age")
    line, code = site.refuses(backup, "--replace")
    assert ("BACKUP_AGE_IDENTITY" in line, code) == (True, os.EX_CONFIG)
    for key_file in (tmp_path / "missing", tmp_path):
        monkeypatch.setenv("BACKUP_AGE_IDENTITY", str(key_file))
        line, code = site.refuses(backup, "--replace")
        assert ("error: reading" in line, code) == (True, os.EX_CONFIG)
    other = tmp_path / "other.txt"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    monkeypatch.setenv("BACKUP_AGE_IDENTITY", str(other))
    assert site.refuses(backup, "--replace")[1] == os.EX_DATAERR
    monkeypatch.setenv("BACKUP_AGE_IDENTITY", str(key))
    site.restore(backup, "--check")


@on_one
@pytest.mark.parametrize("kind", ["gpg", "age"])
def test_a_recipient_that_is_none_makes_no_backup(site, gpg, monkeypatch, kind):
    if not shutil.which(kind):
        pytest.skip(f"{kind} is not installed")
    monkeypatch.setenv(f"BACKUP_{kind.upper()}_RECIPIENT", "nobody@example.com")
    with pytest.raises(Failed, match=f"BACKUP_{kind.upper()}_RECIPIENT is none: {kind}: ") as failure:
        site.backup()
    assert (site.kept(), failure.value.code) == ([], os.EX_CONFIG)
