"""An SQLite database: copied at one moment, compressed, and put back in one step."""

import fcntl
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from os.path import samestat
from pathlib import Path

from scripts.backups import sealing
from scripts.backups.failures import Failed
from scripts.backups.manifest import Manifest, keep_names
from scripts.backups.pipes import Step, flow
from scripts.backups.places import Place

FILE = "database.sqlite3.gz"
WAIT_SECONDS = 30
# Without full-text tables and what they are made of: they hold what other tables hold, and are never empty.
_TABLES = r"""
    SELECT name FROM sqlite_schema AS t
    WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND NOT EXISTS (
        SELECT 1 FROM sqlite_schema AS v
        WHERE v.sql LIKE 'CREATE VIRTUAL TABLE%' AND (t.name = v.name OR instr(t.name, v.name || '_') = 1)
    )
    ORDER BY name
"""
# What an SQLite file begins with: its kind, the size of a page (1 stands for the largest), and how many there are.
_HEADER, _MAGIC, _LARGEST_PAGE = struct.Struct(">16sH10xI"), b"SQLite format 3\0", 65536
_BESIDE = ("-wal", "-shm", "-journal")
_KIND = 0xFF  # of an error's number
_LOCKS = (512, 0x40000000)  # so many bytes, from where all of SQLite's locks are


def save(place: Place, folder: Path, *, how: str | None) -> tuple[str, str, dict[str, int]]:
    """Write the database into a folder; return the file's name, the schema's revision, and the rows of each table."""
    copy = folder / "copy.sqlite3"
    with _opened(place.database) as connection:
        connection.execute("VACUUM INTO ?", [str(copy)])
    with _opened(str(copy)) as connection:
        revision, tables = contents(connection)
    if revision is None:
        raise Failed(f"the database {place.database} has no tables of ours", os.EX_DATAERR)
    written = sealing.write(folder / FILE, Step(["gzip", "--stdout", "-3", str(copy)]), how=how)
    copy.unlink()
    return written, revision, tables


@contextmanager
def _connected(path: str, *, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    where = f"{Path(path).absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(where, uri=True, timeout=WAIT_SECONDS)) as connection:
        connection.isolation_level = None
        yield connection


@contextmanager
def _opened(path: str) -> Iterator[sqlite3.Connection]:
    """Open a database that is there; what SQLite refuses is one line."""
    try:
        with _connected(path) as connection:
            yield connection
    except sqlite3.Error as error:
        full = "full" in str(error)
        code = os.EX_IOERR if full else os.EX_UNAVAILABLE if "open" in str(error) else os.EX_DATAERR
        raise Failed(f"the database {path}: {error}", code) from None


def contents(connection: sqlite3.Connection) -> tuple[str | None, dict[str, int]]:
    """Return the schema's revision, None where there is none, and the rows of each table."""
    names = [row[0] for row in connection.execute(_TABLES)]
    counts = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608
    if "alembic_version" not in names:
        return None, counts
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row and row[0], counts


def check(_place: Place, folder: Path, manifest: Manifest) -> None:
    """See that the copy can be decrypted and decompressed, and is an SQLite file of the size that it says.

    Raises:
        Failed: it cannot, or is not.
    """
    head, size = bytearray(), 0

    def count(chunk: bytes) -> None:
        nonlocal size
        head.extend(chunk[: _HEADER.size - len(head)])
        size += len(chunk)

    with (folder / manifest.database).open("rb") as file:
        flow(*sealing.opened(manifest.sealed), Step(["gzip", "--decompress", "--stdout"]), source=file, sink=count)
    magic, page, pages = _HEADER.unpack(head.ljust(_HEADER.size, b"\0"))
    if magic != _MAGIC or size != pages * (_LARGEST_PAGE if page == 1 else page):
        raise Failed(f"{folder / manifest.database} is no whole SQLite database", os.EX_DATAERR)


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Let nobody else restore into this folder meanwhile, which need not be there yet.

    Raises:
        Failed: somebody does.
    """
    folder = Path(place.database).parent
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Failed(f"another restore into {folder} is running", os.EX_TEMPFAIL) from None
    finally:
        os.close(descriptor)


def clear(place: Place) -> list[str]:
    """Take away what a restore that was killed has left; returns a line for each thing."""
    path, told = Path(place.database), []
    names = [str(one) for one in path.parent.iterdir()]
    for left in place.made_beside("restoring", names):
        drop(place, left)
        told.append(f"{left} is deleted")
    for before in map(Path, place.made_beside("before", names)):
        if path.exists() and before.samefile(path):  # killed between the two names
            _put_back(place.database, before=str(before))
            told.append(f"{before}, a second name of the database, is deleted")
    return told


def is_broken(place: Place) -> bool:
    """Tell whether there is a file that SQLite cannot read to its end, and leave it as it is."""
    path = Path(place.database)
    if not path.exists():
        return False
    # Whoever may write brings the log into the file on leaving, and that would change a broken one.
    mode = "ro" if Path(f"{path}-wal").exists() else "rw"
    try:
        with _connected(place.database, mode=mode) as connection:
            contents(connection)
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # none: a text that is none
        return code & _KIND in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    return False


def is_in_use(place: Place) -> bool | None:
    """Tell whether there are rows in the database; None: there is no such file."""
    if not Path(place.database).exists():
        return None
    with _opened(place.database) as connection:
        return any(count for table, count in contents(connection)[1].items() if table != "alembic_version")


def load(_place: Place, folder: Path, manifest: Manifest, *, into: str) -> None:
    """Restore a copy as a new file, and see that it is sound and every row is there.

    Raises:
        Failed: it is not.
    """
    with (folder / manifest.database).open("rb") as source, Path(into).open("xb") as file:
        flow(
            *sealing.opened(manifest.sealed), Step(["gzip", "--decompress", "--stdout"]), source=source, sink=file.write
        )
        file.flush()
        os.fsync(file.fileno())
    with _opened(into) as connection:
        (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok" or contents(connection) != (manifest.revision, manifest.tables):
            raise Failed("the restored tables have not the rows that the manifest counts", os.EX_DATAERR)


def drop(_place: Place, database: str) -> None:
    """Delete a file that was restored in vain."""
    for suffix in ("", "-wal", "-shm", "-journal", ".turn"):
        Path(database + suffix).unlink(missing_ok=True)


@contextmanager
def read_only(place: Place) -> Iterator[None]:
    """See that nobody else has the database open.

    Raises:
        Failed: somebody has.
    """
    _alone(place)
    yield


def _alone(place: Place) -> None:
    if place.is_broken:
        if _is_open(Path(place.database)):
            raise _in_use(place)
        return
    with _opened(place.database) as connection:
        connection.execute("PRAGMA busy_timeout = 2000")
        try:
            # Leaving WAL takes everybody else to have gone; their writes would be lost with the file.
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError:
            raise _in_use(place) from None


def _in_use(place: Place) -> Failed:
    return Failed(f"{place.database} is in use: stop API, worker and cron first", os.EX_TEMPFAIL)


def _is_open(path: Path) -> bool:
    """Tell whether somebody has a file open, as far as this user sees, or holds one of SQLite's locks on it."""
    found = path.stat()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # ended meanwhile, or of somebody else
            if samestat(link.stat(), found):
                return True
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_LOCKS)
        except OSError:
            return True
    return False


def instead(step: Step, database: str) -> Step:
    """Return a command of ours that takes another file for the database, and does not look at the one in use."""
    return replace(step, env={**step.env, "DATABASE_URL": f"sqlite:///{database}", "DATABASE_URL_FILE": ""})


def swap(place: Place, *, new: str, old: str | None) -> None:
    """Put a restored file in the place of the one in use, which gets another name."""
    with _opened(new) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
    if old is not None:
        _alone(place)
        shutil.copystat(place.database, new)
        owner = Path(place.database).stat()
        os.chown(new, owner.st_uid, owner.st_gid)
        _put_aside(place.database, before=old)
    else:
        for end in _BESIDE:  # of a file that is gone; as SQLite does, where it finds none
            Path(place.database + end).unlink(missing_ok=True)
    try:
        Path(new).replace(place.database)
    except OSError:
        if old is not None:
            _put_back(place.database, before=old)
        raise
    Path(f"{new}.turn").unlink(missing_ok=True)
    keep_names(Path(place.database).parent)


def _put_aside(database: str, *, before: str) -> None:
    """Give a file a second name, so that it is never without one; what belongs to it, if it is broken, goes along."""
    os.link(database, before)
    for end in _BESIDE:
        if Path(database + end).exists():  # another database would take it for its own
            Path(database + end).rename(before + end)


def _put_back(database: str, *, before: str) -> None:
    for end in _BESIDE:
        if Path(before + end).exists():
            Path(before + end).rename(database + end)
    Path(before).unlink()
