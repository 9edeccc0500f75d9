"""Where the database, the files and the commands of a deployment are: on this machine, or in docker compose.

Beside containers nothing but PostgreSQL's own tools in the container `db`, and `flask` and `tar` in one of `web`, is
used; what they say flows through this process. No password is needed there, and none is put among a process's words.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.backups.failures import Failed
from scripts.backups.pipes import Step, flow

# In a data folder, but no file of the application: database, queue, keys, and the list that must outlive a restore.
NOT_FILES = (
    "./*.sqlite3*", "./valkey*", "./lock", "./secrets.env", "./erasures.jsonl", "./backups", "./.*",
)  # fmt: skip
_PACK = ["tar", "--create", "--gzip", *(f"--exclude={name}" for name in NOT_FILES), "."]
_UNPACK = ["tar", "--extract", "--gzip", "--no-same-owner"]
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

    def files(self) -> Step | None:
        """Return the step that packs the application's files; None: there is no folder of them."""
        if self.compose:
            return Step([*self._web(), "sh", "-c", 'cd "$DATA_DIR" && exec "$0" "$@"', *_PACK])
        if self.data_dir is None or not self.data_dir.is_dir():
            return None
        return Step([_PACK[0], f"--directory={self.data_dir}", *_PACK[1:]])

    def put_files(self) -> Step:
        """Return the step that unpacks them: each replaces what has its name, and others stay."""
        if self.compose:
            return Step([*self._web(), "sh", "-c", 'cd "$DATA_DIR" && exec "$0" "$@"', *_UNPACK])
        assert self.data_dir is not None  # noqa: S101  of a machine of its own it is known
        self.data_dir.mkdir(parents=True, exist_ok=True)
        return Step([_UNPACK[0], f"--directory={self.data_dir}", *_UNPACK[1:]])

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
    url = make_url(config.DATABASE_URL)
    if url.get_backend_name() == "sqlite":
        return Place("sqlite", str(Path(url.database or "").absolute()), data_dir=config.DATA_DIR)
    return Place("postgresql", url.database or "", _libpq(url), data_dir=config.DATA_DIR)


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
