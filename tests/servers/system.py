"""The whole system as one process to start and stop: `flask up` on a free port, in a folder of its own."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from delivery.ops.leash import leashed
from tests.servers.processes import alive
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
# What a developer's shell or .env may hold is none of a test's business.
OURS = {"DATABASE_URL": "", "REDIS_URL": "", "SMTP_HOST": "", "ENVIRONMENT": "development", "LOG_FORMAT": "text"}


class RunningSystem:
    """`flask up` and what it said; end it with stop() or kill()."""

    def __init__(self, folder, *options, **environ):
        self.port = free_port()
        env = os.environ | OURS | {"FLASK_APP": "wsgi:app", "DATA_DIR": str(folder), "PORT": str(self.port)} | environ
        self.process = subprocess.Popen(
            leashed([sys.executable, "-m", "flask", "up", *options], signal=signal.SIGTERM),
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.process.stdout as lines:
            for line in lines:
                self.output += line

    def wait_until_ready(self, *, seconds=60.0):
        """Wait for the words that it is ready; RuntimeError with the output when it ends instead."""
        wait_until(lambda: "Ctrl-C stops it." in self.output or self._ended(), what="flask up", seconds=seconds)
        return self

    def _ended(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"flask up ended with {self.process.returncode}: {self.output}")

    def get(self, path):
        """The status of GET `path`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    @property
    def admin_password(self):
        """The password that the first start printed, or None."""
        found = re.search(r"Admin +\S+, password (\S+)", self.output)
        return found and found[1]

    def members(self):
        """Every process below it, by a name: valkey, gunicorn, worker, cron."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        return [(process, member_name(process)) for process in processes if alive(process)]

    def stop(self, number=signal.SIGTERM, *, seconds=15.0):
        """Send a signal, wait for the end, and give the exit code."""
        self.process.send_signal(number)
        self.process.wait(timeout=seconds)
        self._reader.join(timeout=5)
        return self.process.returncode

    def kill(self):
        """kill -9 of the supervisor alone."""
        self.stop(signal.SIGKILL)


def member_name(process):
    command = " ".join(process.cmdline())
    return next((name for name in ("valkey", "gunicorn", "worker", "cron") if name in command), command)


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
