"""What lies in DATA_DIR beside the application's files, under whatever name, is neither packed nor unpacked over."""

import shutil
import subprocess

import pytest
from sqlalchemy import text

from delivery.database import db
from delivery.privacy import erasure_list
from scripts.backups import places
from scripts.backups.failures import Failed
from scripts.backups.pipes import flow
from tests.backups.test_refusals import sums
from tests.factories import People


def packed(archive):
    listed = subprocess.run(["tar", "tzf", archive], capture_output=True, text=True, check=True)
    return {name.removeprefix("./") for name in listed.stdout.splitlines()} - {""}


def as_an_earlier_version_packed(backup, data):
    """All of the folder: database, list and what stands beside them."""
    subprocess.run(["tar", "czf", backup / "files.tar.gz", f"--directory={data}", "."], check=True)
    sums(backup)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("site", ["sqlite:app[1].db"], indirect=True)
def test_neither_rows_nor_erasures_are_lost_to_the_files_of_a_backup(site):
    """One long life, because each restore starts the app twice: the live database and list have names of their own."""
    forgotten = site.data / "forgotten.txt"
    site.patch.setenv("ERASURE_LIST", str(forgotten))
    site.settings["ERASURE_LIST"] = str(forgotten)
    site.reopen()
    shop, gone = site.fill(), People(site.app).customer()
    (site.data / "proofs").mkdir()
    (site.data / "proofs" / "photo").write_bytes(b"as it was")
    backup = site.backup()
    assert packed(backup / "files.tar.gz") == {"proofs/", "proofs/photo"}
    forgotten.touch()
    as_an_earlier_version_packed(backup, site.data)
    assert {"app[1].db", "forgotten.txt"} <= packed(backup / "files.tar.gz")

    # Life goes on: a row and an erasure that only the live files know. A folder stands where a file is to be.
    shop.create(reference="later")
    assert People(site.app).admin().post(f"/api/users/{gone.user_id}/erase").status_code == 204
    with site.app.app_context():
        erasure_list.keep_up(forgotten)
    listed = forgotten.read_bytes()
    assert listed.count(b"\n") == 1
    live = site.rows()
    site.close()
    (site.data / "proofs" / "photo").unlink()
    (site.data / "proofs" / "photo" / "in the way").mkdir(parents=True)

    with pytest.raises(Failed, match=r"is restored, but not all files are \(tar: .*run this again") as half:
        site.restore(backup, "--replace")
    assert half.value.code != 0
    (before,) = (path for path in site.data.iterdir() if "_before_" in path.name)
    assert site.rows(f"sqlite:///{before}") == live, "what was there is whole, down to the last row"
    assert forgotten.read_bytes() == listed
    app = site.reopen()
    with app.app_context():
        assert db.session.execute(text("SELECT count(*) FROM outbox_holds")).scalar_one() == 1
        assert db.session.execute(text("SELECT count(*) FROM users WHERE erased_at IS NOT NULL")).scalar_one() == 1
    site.close()

    shutil.rmtree(site.data / "proofs" / "photo")
    site.restore(backup, "--replace")
    assert site.listing() == {"photo": b"as it was"}
    assert forgotten.read_bytes() == listed
    assert len(site.rows()["deliveries"]) == len(live["deliveries"]) - 1


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_links_backups_and_what_stands_beside_the_database_stay_out(site):
    """The file that a link names is the database, wherever in the folder it lies."""
    real, link = site.data / "disk" / "real*.db", site.data / "link.db"
    real.parent.mkdir()
    for end in ("", "-wal", "-shm", "-journal", ".turn", "_before_20261126t030000z", "_restoring_20261126t030000z"):
        real.with_name(real.name + end).touch()
    (site.data / "real list").touch()
    (site.data / "list").symlink_to("real list")
    link.symlink_to(real)
    (site.data / "kept" / "delivery-20261126T030000Z").mkdir(parents=True)
    (site.data / "disk" / "realistic.db").touch()  # a file of the application, near the name of the database
    site.patch.setenv("DATABASE_URL", f"sqlite:///{link}")
    site.patch.setenv("ERASURE_LIST", str(site.data / "list"))
    place, archive = places.of(compose=False), site.folder / "files.tar.gz"
    with archive.open("wb") as file:
        flow(place.files(without=site.data / "kept"), sink=file.write)
    assert packed(archive) == {"disk/", "disk/realistic.db"}
    assert place.database == str(real)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_in_a_container_the_list_stays_out_by_whatever_name(site):
    """The script that runs in there, by this machine's shell: nothing but its environment tells where the list is."""
    named = site.data / "all [of] them*"
    named.write_bytes(b"old\n")
    (site.data / "photo").write_bytes(b"old")
    docker = site.folder / "docker"
    docker.write_text('#!/bin/sh\nshift 6\nexec "$@"\n')
    docker.chmod(0o755)
    place = places.Place("postgresql", "delivery", compose=(str(docker), "compose"))
    archive = site.folder / "files.tar.gz"

    def pack():
        with archive.open("wb") as file:
            flow(place.files(without=site.backups), sink=file.write)
        return packed(archive)

    assert pack() == {named.name, "photo"}, "by its usual name the list is another file"
    site.patch.setenv("ERASURE_LIST", str(named))
    named.write_bytes(b"old\nnewer\n")
    (site.data / "photo").write_bytes(b"newer")
    with archive.open("rb") as file:
        flow(place.put_files(), source=file)
    assert (named.read_bytes(), (site.data / "photo").read_bytes()) == (b"old\nnewer\n", b"old")
    assert pack() == {"photo"}
    (site.folder / "link").symlink_to(named)
    site.patch.setenv("ERASURE_LIST", str(site.folder / "link"))
    assert pack() == {"photo"}, "what a link names is the list"
    for elsewhere in ("list", str(site.folder / "list")):
        site.patch.setenv("ERASURE_LIST", elsewhere)
        assert pack() == {named.name, "photo"}
