"""gunicorn by itself: it heeds our settings, answers in our shape what it refuses, and logs a line once."""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import psutil
import pytest

from delivery.app import create_app
from delivery.ops.leash import leashed
from delivery.ops.schema import upgrade
from delivery.ops.system import GUNICORN_CONF
from tests.auth.keys import KEYS, made
from tests.conftest import close, settings
from tests.factories import People
from tests.servers.system import ROOT, free_port
from tests.servers.waiting import wait_until


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Read gunicorn's settings in a folder with this .env."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOST", "PORT", "WEB_WORKERS", "WEB_THREADS", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))

    def read(text):
        (tmp_path / ".env").write_text(text)
        return runpy.run_path(str(GUNICORN_CONF))

    return read


def test_the_file_of_settings_is_heeded(configured):
    read = configured("HOST=127.0.0.2\nPORT=8123\nWEB_WORKERS=5\nWEB_THREADS=3\nLOG_LEVEL=ERROR\n")
    assert [read[name] for name in ("bind", "workers", "threads", "loglevel")] == ["127.0.0.2:8123", 5, 3, "error"]


def test_an_ipv6_address_is_bound_in_brackets(configured):
    assert configured("HOST=::1\nPORT=8123\n")["bind"] == "[::1]:8123"


@pytest.mark.parametrize(("words", "once"), [(["gunicorn"], True), (["gunicorn", "--reload"], False)])
def test_the_app_is_loaded_once_for_all_workers_unless_it_is_to_be_loaded_anew(configured, monkeypatch, words, once):
    monkeypatch.setattr(sys, "argv", words)
    assert configured("")["preload_app"] is once


def test_a_wrong_setting_is_refused_as_everywhere(configured, capsys):
    with pytest.raises(SystemExit) as ended:
        configured("WEB_WORKERS=many\n")
    assert ended.value.code == os.EX_CONFIG
    assert capsys.readouterr().err == "WEB_WORKERS: expected a whole number from 1 to 256\n"


class Gunicorn:
    def __init__(self, folder, more="", *, workers=1):
        self.port, self.log = free_port(), folder / "log"
        (folder / ".env").write_text(f"PORT={self.port}\nWEB_WORKERS=1\nLOG_FORMAT=json\n{more}")
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                leashed([sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONF)], signal=signal.SIGTERM),
                cwd=folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(folder)},
                stdout=output,
                stderr=output,
            )
        wait_until(lambda: len(self.booted()) == workers, what="gunicorn's workers", seconds=30)

    def lines(self):
        return self.log.read_text().splitlines()

    def booted(self):
        return [line for line in self.lines() if "Booting worker" in line]

    def ask(self, request):
        """Send raw bytes; the status line, the headers and the body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                status = int(answer.readline().split()[1])
                lines = iter(lambda: answer.readline().decode().strip(), "")
                headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in lines)}
                return status, headers, answer.read(int(headers["content-length"]))

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=15)


@pytest.fixture
def gunicorn(tmp_path):
    server = Gunicorn(tmp_path)
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def app(tmp_path):
    """The app whose database gunicorn serves too."""
    app = create_app(settings(tmp_path))
    upgrade(app)
    yield app
    close(app)


def test_the_use_of_a_key_is_noted_when_the_answer_is_out(app, gunicorn):
    """The note waits until the server closes the response, as PEP 3333 has it do."""
    owner = People(app).customer()
    key = made(owner)

    asked = f"GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key['secret']}\r\n\r\n"
    assert gunicorn.ask(asked.encode())[0] == 200
    wait_until(lambda: owner.get(f"{KEYS}/{key['id']}").json["last_used_at"], what="the note", seconds=10)


@pytest.mark.parametrize("body", [b"ZZ\r\nx", b"5\r\nab", b"1\r\naX\r\n"])
@pytest.mark.usefixtures("app")
def test_a_body_that_is_no_body_is_a_400(gunicorn, body):
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
    for media_type in (b"application/json", b"application/x-www-form-urlencoded"):
        with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=10) as connection:
            connection.sendall(head % media_type + body)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 400"), answer
        assert b"application/problem+json" in answer
    assert not any("unexpected error" in line for line in gunicorn.lines())


REFUSED = {
    b"nonsense\r\n\r\n": (400, "bad_request"),
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nbad header: x\r\n\r\n": (400, "bad_request"),
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n": (431, "headers_too_large"),
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-One: 1\r\n" * 100 + b"\r\n": (431, "headers_too_large"),
    b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": (414, "uri_too_long"),
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: br\r\n\r\n": (501, "not_implemented"),
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n": (400, "bad_request"),
    **{
        f"GET /healthz HTTP/{version}\r\nHost: localhost\r\n\r\n".encode(): (400, "bad_request")
        for version in ("0.9", "2.0", "3.0")
    },
}


def test_what_never_reaches_the_app_is_a_problem_object_too(gunicorn):
    assert gunicorn.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
    for request, (expected, code) in REFUSED.items():
        status, headers, body = gunicorn.ask(request)
        problem = json.loads(body)
        assert (status, problem["status"], problem["code"]) == (expected, expected, code)
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-request-id"] == problem["request_id"]
        assert any(json.loads(line).get("request_id") == problem["request_id"] for line in gunicorn.lines())


def test_a_reload_does_not_double_the_lines(gunicorn):
    gunicorn.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(gunicorn.booted()) > 1, what="the new worker", seconds=30)
    assert gunicorn.stop() == 0
    said = [json.loads(line) for line in gunicorn.lines()]  # gunicorn's own lines are no JSON
    assert len([line for line in said if line["msg"].startswith("Booting worker")]) == 2


def test_a_header_with_an_underscore_is_not_the_one_with_a_hyphen(tmp_path):
    """To WSGI both are HTTP_X_FORWARDED_FOR, and a proxy overwrites only the one that it knows."""
    gunicorn = Gunicorn(tmp_path, "PROXY_HOPS=1\nANONYMOUS_REQUESTS_PER_MINUTE=2\nREDIS_URL=unix:///nowhere.sock\n")
    try:
        got = []
        for number in range(4):
            head = f"POST /api/auth/verify-email HTTP/1.1\r\nHost: localhost\r\nX_Forwarded_For: 192.0.2.{number}\r\n"
            got.append(gunicorn.ask(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())[0])
    finally:
        gunicorn.stop()
    assert got[2:] == [429, 429], got


HALF = (
    b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{"
)


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.usefixtures("app")
def test_who_comes_while_it_stops_is_refused_at_once_and_who_came_before_is_answered(gunicorn):
    """A proxy asks another instance where it was refused, and must not where it had been heard."""
    with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=10) as slow:
        slow.sendall(HALF)
        time.sleep(0.2)  # until a thread waits for the rest
        gunicorn.process.terminate()
        wait_until(lambda: refuses(gunicorn.port), what="the closed port", seconds=2)
        slow.sendall(b"}")
        assert slow.makefile("rb").readline().startswith(b"HTTP/1.1 422")
    assert gunicorn.process.wait(timeout=15) == 0


@pytest.mark.usefixtures("app")
def test_who_had_knocked_before_it_stops_is_let_in(gunicorn):
    [worker] = psutil.Process(gunicorn.process.pid).children()
    worker.suspend()
    with ExitStack() as stack:
        knocked = [stack.enter_context(socket.create_connection(("127.0.0.1", gunicorn.port), 10)) for _ in range(5)]
        for one in knocked:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gunicorn.process.terminate()
        wait_until(lambda: any("Handling signal: term" in line for line in gunicorn.lines()), what="TERM", seconds=5)
        time.sleep(0.2)  # until the worker has been told
        worker.resume()
        assert [one.makefile("rb").readline() for one in knocked] == 5 * [b"HTTP/1.1 200 OK\r\n"]
