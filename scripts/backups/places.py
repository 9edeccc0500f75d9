"""Where the database, the files and the commands of a deployment are: on this machine, or in docker compose.

Beside containers nothing but PostgreSQL's own tools in the container `db`, and `flask` and `tar` in one of `web`, is
used; what they say flows through this process. No password is needed there, and none is put among a process's words.
"""

import glob
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.backups.failures import Failed
from scripts.backups.pipes import Step, flow

# In a data folder, but no file of the application: database, queue, keys, and the list that must outlive a restore.
NOT_FILES = (
    "./*.sqlite3*", "./valkey*", "./lock", "./secrets.env", "./erasures.jsonl", "./backups", "./.*",
)  # fmt: skip
# What stands beside an SQLite file under its name: SQLite's own, our queue of writers, and what restores leave.
BESIDE = ("", "-wal", "-shm", "-journal", ".turn", "_before_*", "_restoring_*")
_EXCEPT = [f"--exclude={name}" for name in NOT_FILES]
_PACK = ["tar", "--create", "--gzip"]
_UNPACK = ["tar", "--extract", "--gzip", "--no-same-owner"]
# The list of erasures has any name; in a container its settings are known in there alone.
_IN_CONTAINER = """
named=$(realpath --no-symlinks --canonicalize-missing -- "${ERASURE_LIST:-$DATA_DIR/erasures.jsonl}") || exit
real=$(realpath --canonicalize-missing -- "$named") && cd "$DATA_DIR" || exit
here=$(pwd) there=$(pwd -P) tool=$1
shift
exec "$tool" --no-wildcards --exclude="./${named#"$here"/}" --exclude="./${real#"$there"/}" --wildcards "$@"
"""
# PostgreSQL cuts names off, without an error, after so many bytes.
_LONGEST_NAME = 63
_STAMP = r"\d{8}t\d{6}z"
# What libpq reads from the environment, for what stands behind the ? of a DATABASE_URL.
_OPTIONS = {
    "host": "PGHOST", "port": "PGPORT", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "connect_timeout": "PGCONNECT_TIMEOUT",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """How a deployment is reached; `database` is a name, or SQLite's file."""

    engine: str
    database: str
    env: Mapping[str, str] = field(default_factory=dict)
    compose: tuple[str, ...] = ()
    data_dir: Path | None = None
    kept_out: tuple[str, ...] = ()  # patterns of whole paths
    is_broken: bool = False  # an SQLite file that cannot be read: put aside as it is, and opened no more

    def beside(self, what: str) -> str:
        """Return what the names of databases `restoring` and `before` this one begin with; a time follows."""
        end = f"_{what}_"
        if self.engine == "sqlite":
            return self.database + end
        room = _LONGEST_NAME - len("_restoring_20261126t030000z")
        return self.database.encode()[:room].decode(errors="ignore") + end

    def made_beside(self, what: str, names: Iterable[str]) -> list[str]:
        """Return those of these names that beside() gave."""
        ours = re.compile(re.escape(self.beside(what)) + _STAMP)
        return sorted(name for name in names if ours.fullmatch(name))

    def tool(self, name: str, *words: str) -> Step:
        """Return one of PostgreSQL's tools, connected as the deployment's own user."""
        if self.compose:
            script = 'PGUSER="$POSTGRES_USER" exec "$0" "$@"'
            return Step([*self.compose, "exec", "-T", "db", "sh", "-c", script, name, *words], called=name)
        return Step([_found(name), *words], dict(self.env), called=name)

    def flask(self, *words: str) -> Step:
        """Return a command of ours, with the deployment's settings."""
        if self.compose:
            return Step([*self._web(), "flask", *words], called=f"flask {words[0]}")
        return Step([sys.executable, "-m", "flask", *words], {"FLASK_APP": "wsgi:app"}, called=f"flask {words[0]}")

    def files(self, *, without: Path) -> Step | None:
        """Return the step that packs the application's files, without the folder of backups; None: there are none."""
        if not self.compose and (self.data_dir is None or not self.data_dir.is_dir()):
            return None
        return self._tar(_PACK, ".", without=without)

    def put_files(self) -> Step:
        """Return the step that unpacks them: each replaces what has its name, and others stay.

        What is no file of the application stays, too, though an archive of an earlier version holds it.
        """
        if self.data_dir is not None:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        return self._tar(_UNPACK)

    def _tar(self, words: list[str], *more: str, without: Path | None = None) -> Step:
        tool, *options = words
        if self.compose:
            return Step([*self._web(), "sh", "-c", _IN_CONTAINER, "sh", tool, *options, *_EXCEPT, *more], called=tool)
        assert self.data_dir is not None  # noqa: S101  of a machine of its own it is known
        roots = {f"{root}/" for root in _both_names(self.data_dir)}
        out = [*self.kept_out, *(_both_names(without) if without else [])]
        inside = {f"--exclude=./{path.removeprefix(root)}" for path in out for root in roots if path.startswith(root)}
        return Step([tool, f"--directory={self.data_dir}", *options, *_EXCEPT, *sorted(inside), *more])

    def _web(self) -> list[str]:
        return [*self.compose, "run", "--rm", "-T", "--no-deps", "web"]


def of(*, compose: bool) -> Place:
    """Return the place of the deployment that the settings name.

    Raises:
        Failed: the containers cannot be reached.
    """
    return _containers() if compose else _machine()


def _containers() -> Place:
    words = tuple(shlex.split(os.environ.get("COMPOSE", "docker compose")))
    asked = Step([*words, "exec", "-T", "db", "sh", "-c", 'echo "$POSTGRES_DB"'])
    name = bytearray()
    flow(asked, sink=name.extend)
    return Place("postgresql", name.decode().strip(), compose=words)


def _machine() -> Place:
    from sqlalchemy import make_url  # noqa: PLC0415  beside containers there is none

    from config import Config  # noqa: PLC0415  the same

    config = Config.load_or_exit()
    url, out = make_url(config.DATABASE_URL), _both_names(config.ERASURE_LIST)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        out += [name + end for name in _both_names(path) for end in BESIDE]
        return Place("sqlite", str(path.resolve()), data_dir=config.DATA_DIR, kept_out=tuple(out))
    return Place("postgresql", url.database or "", _libpq(url), data_dir=config.DATA_DIR, kept_out=tuple(out))


def _both_names(path: Path) -> list[str]:
    """Return a path as it is named and as it really is, as patterns of tar that mean nothing else."""
    return [glob.escape(str(one).replace("\\", r"\\")) for one in (path.absolute(), path.resolve())]


def _libpq(url: Any) -> dict[str, str]:
    given = {"PGHOST": url.host, "PGPORT": url.port, "PGUSER": url.username, "PGPASSWORD": url.password}
    given |= {_OPTIONS[name]: value for name, value in url.query.items() if name in _OPTIONS}
    return {"PGCONNECT_TIMEOUT": "10"} | {name: str(value) for name, value in given.items() if value}


def _found(name: str) -> str:
    """Return where a tool is: in PG_BIN, on the PATH, or where Debian puts the newest."""
    if folder := os.environ.get("PG_BIN"):
        return str(Path(folder) / name)
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = shutil.which(name) or (str(debian[-1]) if debian else None)
    if found is None:
        raise Failed(f"{name} is not installed; set PG_BIN to the folder of PostgreSQL's tools", os.EX_UNAVAILABLE)
    return found
