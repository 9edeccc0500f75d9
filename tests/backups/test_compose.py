"""Beside containers nothing but docker is called, and no password is among the words; a stand-in plays docker here."""

import pytest

DOCKER = """#!/bin/sh
# Plays `compose exec -T db` and `compose run ... web` on this machine; every call is written down.
echo "$*" >>"$CALLS"
case "$*" in
  *" db "*) shift 4; export POSTGRES_USER=postgres PGHOST="$STAND_IN_HOST" POSTGRES_DB="$STAND_IN_DB"; exec "$@" ;;
  *" web "*) shift 6; exec "$@" ;;
esac
exit 9
"""


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_a_backup_is_made_through_the_containers(site, postgres):
    site.fill()
    docker = site.folder / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    calls = site.folder / "calls"
    stand_in = {
        "CALLS": calls,
        "STAND_IN_HOST": postgres.folder,
        "STAND_IN_DB": site.name,
        "COMPOSE": f"{docker} compose",
    }
    done = site.script(
        "backup.sh", "--compose", "--to", "there", **{name: str(value) for name, value in stand_in.items()}
    )
    assert (done.returncode, done.stderr) == (0, "")
    (made,) = (site.folder / "there").glob("delivery-*")
    assert {path.name for path in made.iterdir()} == {"database.dump", "files.tar.gz", "manifest.json", "SHA256SUMS"}
    site.restore(made, "--check")
    assert all(line.startswith("compose ") for line in calls.read_text().splitlines() if "compose" in line)
    assert site.settings["SECRET_KEY"] not in calls.read_text()


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_script_that_fails_says_so_in_one_line(site):
    done = site.script("restore.sh", "no-such-folder")
    assert done.returncode == 65
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: ")
    assert "is no backup that can be restored: it has no SHA256SUMS" in done.stderr
