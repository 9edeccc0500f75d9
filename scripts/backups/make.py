"""Makes a backup: one folder of database, files, manifest and hashes, which has its name only when it is whole."""

import argparse
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from scripts.backups import failures, manifest, places, postgresql, retention, sealing, sqlite
from scripts.backups.failures import Failed

FILES = "files.tar.gz"
ABOUT = """Back the database and the application's files up, as docs/backups.md says.

Settings: those of the API (DATABASE_URL, DATA_DIR); BACKUP_DIR, BACKUP_KEEP, BACKUP_KEEP_DAILY, BACKUP_KEEP_WEEKLY as
the options; BACKUP_AGE_RECIPIENT or BACKUP_GPG_RECIPIENT to encrypt; PG_BIN, the folder of PostgreSQL's tools; COMPOSE,
how compose is called, `docker compose` by default.

Exit codes: 0 done, 1 failed, 2 used wrongly, 65 nothing of ours to save, 69 the database cannot be reached, 74 the disk
is full or fails, 75 another backup is being made, 77 refused by the database or the disk, 78 settings, 130 interrupted.
"""


def main() -> None:
    """Make one backup, then delete what is surplus."""
    options = _options()
    place = places.of(compose=options.compose)
    how = sealing.kind(os.environ)
    options.to.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with _alone(options.to):
        sealing.try_out(how)
        made, found = _make(place, options.to, how=how)
        size = sum(path.stat().st_size for path in made.iterdir())
        gone, later = retention.apply(made, newest=options.keep, daily=options.keep_daily, weekly=options.keep_weekly)
    seconds = time.monotonic() - began
    sealed = f", encrypted by {how}" if how else ""
    _say(f"Saved {made}: {size / 1e6:.1f} MB{sealed}, in {seconds:.1f} s; {len(gone) or 'no'} old ones deleted.")
    if later:
        _say(f"Of a later time than this one, so neither counted nor deleted: {', '.join(later)}.")
    if not found.is_known:
        _say(f"Its schema ({found.revision}) is newer than this code: restoring it needs the newer release.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("backup.sh", description=ABOUT, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--to", metavar="FOLDER", default=os.environ.get("BACKUP_DIR") or "backups", help="where backups are kept")
    add("--keep", type=_count, default=_set("BACKUP_KEEP", 3), help="how many of the newest are kept (3)")
    add("--keep-daily", type=_count, default=_set("BACKUP_KEEP_DAILY", 7), help="of how many days one (7)")
    add("--keep-weekly", type=_count, default=_set("BACKUP_KEEP_WEEKLY", 4), help="of how many weeks one (4)")
    add("--compose", action="store_true", help="what docker compose runs, not what runs on this machine")
    options = parser.parse_args()
    options.to = Path(os.environ.get("CALLED_FROM", ".")) / options.to
    return options


def _count(text: str) -> int:
    """Read a number of backups.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError("expected a whole number, 0 or more")
    return int(text)


def _set(name: str, usual: int) -> int:
    try:
        return _count(os.environ.get(name) or str(usual))
    except argparse.ArgumentTypeError as error:
        raise Failed(f"{name}: {error}", os.EX_CONFIG) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let nobody else make a backup here; what one that died has left goes."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in folder.glob(".delivery-*.partial"):
            shutil.rmtree(left, ignore_errors=True)  # that it cannot be deleted is no reason to make none
        yield
    except BlockingIOError:
        raise Failed(f"another backup is being made in {folder}", os.EX_TEMPFAIL) from None
    finally:
        os.close(descriptor)


def _make(place: places.Place, to: Path, *, how: str | None) -> tuple[Path, manifest.Manifest]:
    """Write a backup under another name, read all of it again, and only then give it its own."""
    now = datetime.now(UTC)
    name = f"delivery-{now.strftime(retention.STAMP)}"
    partial, whole = to / f".{name}.partial", to / name
    if whole.exists():
        raise Failed(f"{whole} is there already: one a second is enough", os.EX_TEMPFAIL)
    partial.mkdir()
    try:
        _fill(partial, place, now, how=how)
        found = manifest.whole(partial)
        partial.rename(whole)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    manifest.keep_names(to)
    return whole, found


def _fill(folder: Path, place: places.Place, now: datetime, *, how: str | None) -> None:
    engine = sqlite if place.engine == "sqlite" else postgresql
    # The database first: a file that it names was written before, and so is among those that are packed later.
    database, revision, tables = engine.save(place, folder, how=how)
    packing = place.files(without=folder.parent)
    files = sealing.write(folder / FILES, packing, how=how) if packing else None
    said = manifest.Manifest(
        version=manifest.own_version(),
        created_at=now.isoformat(timespec="seconds"),
        engine=place.engine,
        revision=revision,
        tables=tables,
        database=database,
        files=files,
        sealed=how,
    )
    manifest.write(folder, said)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    failures.run(main)
