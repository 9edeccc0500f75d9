"""gunicorn is asked to start anew while clients ask on and on: by HUP, and behind a socket that systemd holds."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from delivery.ops.leash import leashed
from delivery.ops.system import GUNICORN_CONF
from tests.servers.system import ROOT
from tests.servers.waiting import wait_until

CLIENTS = 4
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# As systemd passes a socket: it is number 3, and meant for this process (sd_listen_fds(3)).
HELD = 'exec 3<&"$0"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'


@pytest.fixture
def door():
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as held:
        yield held


@contextmanager
def gunicorn(folder, door):
    """Run it behind the held socket until the end of the block; give its process and what it said."""
    (folder / ".env").write_text("WEB_WORKERS=2\n")
    log = folder / f"log{time.monotonic()}"
    command = ["bash", "-c", HELD, str(door.fileno()), sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONF)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            leashed(command, signal=signal.SIGTERM),
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(folder)},
            pass_fds=[door.fileno()],
            stdout=output,
            stderr=output,
        )
    wait_until(lambda: log.read_text().count("Booting worker") == 2, what="gunicorn's workers", seconds=30)
    try:
        yield process, log.read_text
    finally:
        process.terminate()
        assert process.wait(timeout=15) == 0


@contextmanager
def asked(door):
    """Ask on and on, each time by a new connection; give the list of what was answered."""
    ended, answers = threading.Event(), []

    def client():
        while not ended.is_set():
            try:
                with socket.create_connection(door.getsockname(), timeout=30) as connection:
                    connection.sendall(REQUEST)
                    answers.append(connection.makefile("rb").readline())
            except OSError as error:
                answers.append(repr(error).encode())
            time.sleep(0.005)

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    try:
        yield answers
    finally:
        ended.set()
        for one in clients:
            one.join()


def test_neither_a_reload_nor_a_restart_fails_a_request(tmp_path, door):
    with ExitStack() as clients:
        answers = clients.enter_context(asked(door))
        with gunicorn(tmp_path, door) as (process, said):
            wait_until(lambda: said().count("Booting worker") == 2, what="two workers", seconds=20)
            wait_until(lambda: len(answers) > 20, what="answers", seconds=20)
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: said().count("Worker exiting") == 2, what="the end of the old workers", seconds=20)
            wait_until(lambda: said().count("Booting worker") == 4, what="the new workers", seconds=20)
        before = len(answers)
        with gunicorn(tmp_path, door):
            wait_until(lambda: len(answers) > before + 20, what="answers of the next", seconds=20)
            clients.close()
    assert {*answers} == {b"HTTP/1.1 200 OK\r\n"}
