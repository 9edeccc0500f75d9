"""Restores a backup: looks at all of it first, fills a new database, and swaps the two when everything is in place."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from scripts.backups import failures, manifest, places, postgresql, retention, sealing, sqlite
from scripts.backups.failures import Failed
from scripts.backups.manifest import Manifest
from scripts.backups.pipes import Step, flow
from scripts.backups.places import Place

ABOUT = """Restore a backup that scripts/backup.sh made, as docs/backups.md says.

The database in use stays as it is until the last step, and is kept under another name. Messages are held afterwards:
see `flask notifications release`.

Settings: those of the API; BACKUP_AGE_IDENTITY, the file of the key, for what age encrypted (gpg knows its own);
PG_BIN, COMPOSE as in backup.sh.

Exit codes: 0 done, 1 failed, 2 used wrongly, 65 no backup that can be restored, 69 the database cannot be reached, 73
the database has rows or cannot be read, and --replace is not given, 74 the disk is full or fails, 75 the database is
in use, or another restore is running, 77 refused by the database or the disk, 78 settings, 130 interrupted.
"""


def main() -> None:
    """Check a backup; then restore it."""
    options = _options()
    folder = options.folder
    found = manifest.checked(folder)
    place = places.of(compose=options.compose)
    if found.engine != place.engine:
        raise Failed(f"{folder} is of {found.engine}, and the settings name {place.engine}", os.EX_DATAERR)
    engine: ModuleType = sqlite if place.engine == "sqlite" else postgresql
    engine.check(place, folder, found)
    _check_files(folder, found)
    _say(f"{folder} is whole: version {found.version}, {found.created_at}, {sum(found.tables.values())} rows.")
    if options.check:
        return
    with engine.locked(place):
        for line in engine.clear(place):
            _say(f"A restore was killed here: {line}.")
        place = replace(place, is_broken=engine.is_broken(place))
        in_use = place.is_broken or engine.is_in_use(place)
        if in_use and not options.replace:
            what = "cannot be read as a database" if place.is_broken else "has rows"
            raise Failed(f"{place.database} {what}: give --replace to put the backup in its place", os.EX_CANTCREAT)
        _restore(engine, place, folder, found, is_there=in_use is not None, without_erasures=options.without_erasures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("restore.sh", description=ABOUT, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("folder", metavar="BACKUP", help="the backup's folder, such as backups/delivery-20261126T030000Z")
    add("--check", action="store_true", help="only look whether it can be restored")
    add("--replace", action="store_true", help="put it in the place of a database that has rows; that one is kept")
    add("--without-erasures", action="store_true", help="go on though the list of erasures is missing or incomplete")
    add("--compose", action="store_true", help="what docker compose runs, not what runs on this machine")
    options = parser.parse_args()
    options.folder = Path(os.environ.get("CALLED_FROM", ".")) / options.folder
    return options


def _check_files(folder: Path, found: Manifest) -> None:
    if found.files:
        with (folder / found.files).open("rb") as file:
            flow(*sealing.opened(found.sealed), Step(["tar", "--list", "--gzip"]), source=file)


def _restore(
    engine: ModuleType, place: Place, folder: Path, found: Manifest, *, is_there: bool, without_erasures: bool
) -> None:
    began, stamp = time.monotonic(), datetime.now(UTC).strftime(retention.STAMP).lower()
    new, old = place.beside("restoring") + stamp, place.beside("before") + stamp if is_there else None
    done = False
    try:
        with _dropped_when_in_vain(engine, place, new):
            engine.load(place, folder, found, into=new)
            # Whoever asks to be forgotten from here on is told that it cannot be done now, and not forgotten about.
            with engine.read_only(place) if is_there else nullcontext():
                _prepare(place, new, found, without_erasures=without_erasures)
                with failures.undisturbed():
                    engine.swap(place, new=new, old=old)
                    done = True
        # Last: until here nothing of the deployment has changed, and afterwards no row can be lost.
        _put_files(place, folder, found)
    except (Failed, OSError, KeyboardInterrupt) as error:
        if done:
            raise _without_files(error, place, old) from error
        raise
    seconds = time.monotonic() - began
    _say(f"Restored {found.created_at} into {place.database} in {seconds:.1f} s.")
    _say_kept(old)
    _say("Messages are held: look at them, then `flask notifications release --keep-back`.")


@contextmanager
def _dropped_when_in_vain(engine: ModuleType, place: Place, new: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.drop(place, new)
        raise


def _prepare(place: Place, new: str, found: Manifest, *, without_erasures: bool) -> None:
    words = ["restored", "--yes", "--reason", f"restored from the backup of {found.created_at}"]
    words += [] if place.is_broken else ["--database", new]
    words += ["--without-erasures"] if without_erasures else []
    step = place.flask(*words)
    if place.is_broken:
        _say("The database in use cannot be asked for its latest erasures; the list counts.")
        step = sqlite.instead(step, new)
    flow(step, sink=lambda chunk: _say(chunk.decode(errors="replace").rstrip()))


def _put_files(place: Place, folder: Path, found: Manifest) -> None:
    if found.files:
        with (folder / found.files).open("rb") as file:
            flow(*sealing.opened(found.sealed), place.put_files(), source=file)


def _without_files(error: BaseException, place: Place, old: str | None) -> Failed:
    """Return what it means that the database was restored, and what followed failed."""
    failure = failures.of_files(error) if isinstance(error, OSError) else error
    code, why = (failure.code, str(failure)) if isinstance(failure, Failed) else (failures.INTERRUPTED, "interrupted")
    _say_kept(old)
    return Failed(
        f"the database {place.database} is restored, but not all files are ({why}): unpack files.tar.gz into DATA_DIR,"
        " or run this again with --replace; messages are held",
        code,
    )


def _say_kept(old: str | None) -> None:
    if old:
        _say(f"What was there before is kept as {old}: delete it when all is well.")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    failures.run(main)
