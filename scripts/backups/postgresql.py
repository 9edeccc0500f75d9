"""A PostgreSQL database as pg_dump writes and pg_restore reads it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.backups import sealing
from scripts.backups.failures import Failed
from scripts.backups.manifest import Manifest
from scripts.backups.pipes import flow
from scripts.backups.places import Place
from scripts.backups.sessions import Session, literal, name

DUMP = "database.dump"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1;"
_ZSTD_SINCE = 16
_READ_ONLY = "default_transaction_read_only"
# As pg_terminate_backend() sees it.
_OURS_TO_END = """
    (current_setting('is_superuser') = 'on' OR NOT (SELECT rolsuper FROM pg_roles WHERE oid = usesysid)
    AND (pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
"""
_PATIENCE = 5000  # milliseconds until a connection that is ended has gone
# What restoring may keep busy; more than one job needs a file that can be read at several places at once.
_JOBS = min(4, os.cpu_count() or 1)


def save(place: Place, folder: Path, *, how: str | None) -> tuple[str, str, dict[str, int]]:
    """Write the database into a folder; return the file's name, the schema's revision, and the rows of each table.

    All of one moment: the counts are read in the transaction whose snapshot pg_dump uses.
    """
    with Session(place, place.database) as session:
        session.ask("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;")
        (snapshot,) = session.ask("SELECT pg_export_snapshot();")
        revision, tables = contents(session)
        if revision is None:
            raise Failed(f"the database {place.database} has no tables of ours", os.EX_DATAERR)
        dump = place.tool(
            "pg_dump", "-w", "--format=custom", f"--compress={_compression(place)}", "--no-owner", "--no-privileges",
            "--lock-wait-timeout=60s", f"--snapshot={snapshot}", "-d", place.database,
        )  # fmt: skip
        return sealing.write(folder / DUMP, dump, how=how), revision, tables


def contents(session: Session) -> tuple[str | None, dict[str, int]]:
    """Return the schema's revision, None where there is none, and the rows of each table."""
    tables = session.ask(_TABLES)
    if "alembic_version" not in tables:
        return None, dict.fromkeys(tables, 0)
    revision = session.ask("SELECT version_num FROM alembic_version;")
    counts = session.ask("".join(f"SELECT count(*) FROM public.{name(table)};" for table in tables))  # noqa: S608
    return (revision or [None])[0], dict(zip(tables, map(int, counts), strict=True))


def _compression(place: Place) -> str:
    """Return the quickest that this pg_dump has at about gzip's size."""
    words = bytearray()
    flow(place.tool("pg_dump", "--version"), sink=words.extend)
    version = words.decode().split()[2]
    return "zstd:3" if int(version.partition(".")[0]) >= _ZSTD_SINCE else "1"


def check(place: Place, folder: Path, manifest: Manifest) -> None:
    """See that the dump can be decrypted and read.

    Raises:
        Failed: it cannot.
    """
    with (folder / manifest.database).open("rb") as file:
        flow(*sealing.opened(manifest.sealed), place.tool("pg_restore", "--list"), source=file)


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Let nobody else restore this database meanwhile.

    Raises:
        Failed: somebody does.
    """
    with Session(place, "postgres") as session:
        # Of a transaction: a pooler would give a session's lock to whoever comes next.
        session.ask("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0;")
        key = f"hashtext('delivery restore'), hashtext({literal(place.beside('restoring'))})"
        if session.ask(f"SELECT pg_try_advisory_xact_lock({key});") != ["t"]:
            raise Failed(f"another restore into {place.database} is running", os.EX_TEMPFAIL)
        yield


def clear(place: Place) -> list[str]:
    """Take away what a restore that was killed has left; returns a line for each thing."""
    with Session(place, "postgres") as session:
        left = place.made_beside("restoring", session.ask("SELECT datname FROM pg_database;"))
        told = [f"{place.database} takes writes again" for _ in left[:1] if session.ask(_shut(place.database))]
        if told:
            _open(session, place.database)
        for database in left:
            if session.ask(f"SELECT 1 {_others(database)};"):
                told.append(f"{database} is left alone, for somebody is connected to it")
            else:
                session.ask(f"DROP DATABASE {name(database)};")
                told.append(f"{database} is dropped")
    return told


def is_broken(_place: Place) -> bool:
    """Tell whether the database is none any more; a server looks after that itself."""
    return False


def is_in_use(place: Place) -> bool | None:
    """Tell whether there are rows in the database; None: there is no such database."""
    with Session(place, "postgres") as session:
        if not session.ask(f"SELECT 1 FROM pg_database WHERE datname = {literal(place.database)};"):  # noqa: S608
            return None
    with Session(place, place.database) as session:
        tables = [table for table in session.ask(_TABLES) if table != "alembic_version"]
        rows = "".join(f"SELECT 1 FROM public.{name(table)} LIMIT 1;" for table in tables)  # noqa: S608
        return bool(session.ask(rows)) if tables else False


def load(place: Place, folder: Path, manifest: Manifest, *, into: str) -> None:
    """Restore a dump into a new database, and see that every row is there.

    Raises:
        Failed: it could not be made or filled; whoever called drops it.
    """
    with Session(place, "postgres") as session:
        _see_nobody_else(session, place.database)  # not only when all is done
        session.ask(f"CREATE DATABASE {name(into)} TEMPLATE template0 {_alike(session, place.database)};")
    words = ["-w", "--exit-on-error", "--no-owner", "--no-privileges", "-d", into]
    path = folder / manifest.database
    if manifest.sealed or place.compose:
        with path.open("rb") as file:
            flow(*sealing.opened(manifest.sealed), place.tool("pg_restore", *words), source=file)
    else:
        flow(place.tool("pg_restore", *words, f"--jobs={_JOBS}", str(path)))
    with Session(place, into) as session:
        session.ask("ANALYZE;")
        if contents(session) != (manifest.revision, manifest.tables):
            raise Failed("the restored tables have not the rows that the manifest counts", os.EX_DATAERR)


def _alike(session: Session, database: str) -> str:
    """Return the encoding and the locale of a database that is there, for one that takes its place."""
    query = f"SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = {literal(database)};"  # noqa: S608, E501  quoted
    for row in session.ask(query):
        encoding, collate, ctype = row.split("|")
        return f"ENCODING {literal(encoding)} LC_COLLATE {literal(collate)} LC_CTYPE {literal(ctype)}"
    return ""


def drop(place: Place, database: str) -> None:
    """Drop a database that was restored in vain."""
    with Session(place, "postgres") as session:
        session.ask(f"DROP DATABASE IF EXISTS {name(database)} WITH (FORCE);")


@contextmanager
def read_only(place: Place) -> Iterator[None]:
    """Have nothing written to the database from here on; undone when what follows fails."""
    try:
        with Session(place, "postgres") as session:
            _see_nobody_else(session, place.database)
            session.ask(f"ALTER DATABASE {name(place.database)} SET {_READ_ONLY} = on;")
            session.ask(_others_end(place.database))
        yield
    except BaseException:
        with Session(place, "postgres") as session:
            _open(session, place.database)
        raise


def swap(place: Place, *, new: str, old: str | None) -> None:
    """Give a restored database the name of the one in use, which gets another name, both or neither."""
    current = name(place.database)
    with Session(place, "postgres") as session:
        if old is None:
            session.ask(f"ALTER DATABASE {name(new)} RENAME TO {current};")
            return
        session.ask(f"ALTER DATABASE {current} ALLOW_CONNECTIONS false;")
        try:
            _see_nobody_else(session, place.database)
            session.ask(_others_end(place.database))
            session.ask(
                f"BEGIN; ALTER DATABASE {current} RENAME TO {name(old)};"
                f" ALTER DATABASE {name(new)} RENAME TO {current};"
                f" ALTER DATABASE {name(old)} ALLOW_CONNECTIONS true;"
                f" ALTER DATABASE {name(old)} RESET {_READ_ONLY}; COMMIT;"
            )
        except BaseException:
            with Session(place, "postgres") as another:
                another.ask(f"ALTER DATABASE {current} ALLOW_CONNECTIONS true;")
            raise


def _shut(database: str) -> str:
    """Return the question whether a restore has left a database as nobody can write to it."""
    return (
        "SELECT 1 FROM pg_database LEFT JOIN pg_db_role_setting ON setdatabase = pg_database.oid AND setrole = 0"  # noqa: S608
        f" WHERE datname = {literal(database)} AND (NOT datallowconn OR '{_READ_ONLY}=on' = ANY (setconfig));"
    )


def _open(session: Session, database: str) -> None:
    """Let everybody write again; who connected meanwhile could not for as long as the connection lasts, so it ends."""
    session.ask(f"ALTER DATABASE {name(database)} ALLOW_CONNECTIONS true;")
    session.ask(f"ALTER DATABASE {name(database)} RESET {_READ_ONLY};")
    session.ask(_others_end(database))


def _see_nobody_else(session: Session, database: str) -> None:
    """See that everybody who is connected to a database can be disconnected.

    Raises:
        Failed: somebody cannot, such as a superuser.
    """
    if names := session.ask(f"SELECT DISTINCT usename {_others(database)} AND NOT {_OURS_TO_END} ORDER BY 1;"):
        who = ", ".join(names)
        raise Failed(
            f"{database} is in use by {who}, whom its owner may not disconnect: have them leave first", os.EX_TEMPFAIL
        )


def _others(database: str) -> str:
    # PostgreSQL's own, such as autovacuum, are not ours to end, and in nobody's way. Of the sessions of other roles
    # nothing but pid, role and database is told.
    seen = "usename IS NOT NULL AND (backend_type IS NULL OR backend_type = 'client backend')"
    return f"FROM pg_stat_activity WHERE datname = {literal(database)} AND {seen}"


def _others_end(database: str) -> str:
    return f"SELECT pg_terminate_backend(pid, {_PATIENCE}) {_others(database)} AND {_OURS_TO_END};"
