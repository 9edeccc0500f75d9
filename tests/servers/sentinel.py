"""A master, its replica and three Sentinels on loopback, which fail over within a few seconds."""

import signal
import socket
import subprocess
from contextlib import closing, contextmanager

import redis

from delivery.ops.leash import leashed
from tests.servers.folders import short_folder
from tests.servers.redis import binary
from tests.servers.waiting import wait_until

MASTER, DOWN_AFTER_MILLISECONDS = "delivery", 300


class Trio:
    """Five processes; `url` is what REDIS_URL is set to."""

    def __init__(self, folder):
        self.folder, self.processes = folder, {}
        self.first, self.second, *self.sentinels = free_ports(5)
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinels)}/{MASTER}/0"

    def start(self):
        self._server(self.first)
        self._server(self.second, "--replicaof", "127.0.0.1", str(self.first))
        self._await(lambda: self.client(self.second).info("replication")["master_link_status"] == "up", "a replica")
        for port in self.sentinels:
            self._sentinel(port)
        self._await(self._all_is_known, "Sentinels that know each other")

    def kill_master(self):
        """End the master as kill -9 does; returns its port."""
        port = self.master()
        self._kill(port)
        return port

    def freeze(self, *ports):
        """Hold processes: their connections stay open, and nothing is answered."""
        for port in ports:
            self.processes[port].send_signal(signal.SIGSTOP)

    def thaw(self, port):
        self.processes[port].send_signal(signal.SIGCONT)

    def wait_for_failover(self, before):
        self._await(lambda: self.master() != before and self.role(self.master()) == b"master", "another master")

    def master(self):
        """The port of the master, as a Sentinel has it."""
        with self.client(self.sentinels[0]) as client:
            return client.sentinel_get_master_addr_by_name(MASTER)[1]

    def client(self, port):
        return redis.Redis(port=port, socket_timeout=5)

    def end(self):
        for port in list(self.processes):
            self._kill(port)

    def _all_is_known(self):
        with self.client(self.sentinels[0]) as client:
            seen = client.sentinel_master(MASTER)
        return (seen["num-other-sentinels"], seen["num-slaves"]) == (2, 1)

    def role(self, port):
        with self.client(port) as client:
            return client.role()[0]

    def _server(self, port, *more):
        self._run(
            port, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0", *more
        )

    def _sentinel(self, port):
        config = self.folder / f"{port}.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {self.first} 2\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MILLISECONDS}\n"
            f"sentinel failover-timeout {MASTER} 3000\n"
        )
        self._run(port, str(config), "--sentinel")

    def _run(self, port, *arguments):
        with (self.folder / f"{port}.log").open("ab") as log:
            self.processes[port] = subprocess.Popen(
                leashed([binary(), *arguments], signal=signal.SIGKILL),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _kill(self, port):
        process = self.processes.pop(port)
        process.kill()
        process.wait(timeout=10)

    def _await(self, condition, what):
        def met():
            try:
                return condition()
            except (redis.ConnectionError, redis.ResponseError):  # not up yet, or no master at the moment
                return False

        wait_until(met, what=f"{what} (see {self.folder})", seconds=20)


@contextmanager
def sentinel_trio():
    with short_folder("sentinel-") as folder:
        trio = Trio(folder)
        try:
            trio.start()
            yield trio
        finally:
            trio.end()


def free_ports(count):
    """Ports that nobody has at the moment; another may take one before we do, and then a start fails loudly."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        with closing(one):
            pass
    return ports
