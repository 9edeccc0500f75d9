"""`flask up` for real: one command starts everything, one signal stops it, and what goes wrong is one clear line."""

import json
import re
import signal
import socket
import stat
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from delivery.ops import cli_up
from delivery.ops.refusals import CannotRun
from delivery.users.services import FIRST_ADMIN
from tests.auth.signing_in import login
from tests.servers.processes import alive
from tests.servers.system import RunningSystem
from tests.servers.waiting import wait_until

# Whole systems start here; a busy machine may take its time.
pytestmark = pytest.mark.timeout(180)
KEYS = {
    "SECRET_KEY": "a-key-for-tests-of-40-characters-exactly",
    "JWT_SECRET_KEY": "another-key-for-tests-of-40-characters!",
}


@pytest.fixture
def up(tmp_path):
    """Call it to start the system; whatever still runs after the test is stopped."""
    started = []

    def start(*options, folder=tmp_path / "data", **environ):
        system = RunningSystem(folder, *options, **environ)
        started.append(system)
        return system

    yield start
    for system in started:
        if system.process.poll() is None:
            system.stop()


def log_in(system):
    body = json.dumps({"email": "admin@example.com", "password": system.admin_password}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{system.port}/api/auth/login", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def own_children(system):
    """Those that the supervisor itself started, by name."""
    return {name: process for process, name in system.members() if process.ppid() == system.process.pid}


def all_replaced(before, now):
    return set(before) <= set(now) and not any(process in before.values() for process in now.values())


def last_seen(processes, *, until):
    """When each process was last seen alive, watched until `until()`."""
    seen = {}
    while not until():
        now = time.monotonic()
        seen.update({name: now for process, name in processes if alive(process)})
        time.sleep(0.005)
    return seen


def test_a_first_start_gives_everything_and_a_signal_stops_it_in_order(up, tmp_path):
    system = up().wait_until_ready()
    assert system.get("/readyz") == 200
    assert log_in(system)["access_token"]
    members = system.members()
    assert {name for _, name in members} == {"valkey", "gunicorn", "worker", "cron"}
    assert stat.S_IMODE((tmp_path / "data" / "delivery.sqlite3").stat().st_mode) == 0o600

    began = time.monotonic()
    system.process.terminate()
    seen = last_seen(members, until=lambda: system.process.poll() is not None)
    assert time.monotonic() - began < 10
    assert system.process.returncode == 0
    assert max(seen, key=seen.get) == "valkey"
    assert not any(alive(process) for process, _ in members)


def test_a_start_after_a_kill_works_and_makes_no_second_admin(up):
    first = up().wait_until_ready()
    assert first.admin_password
    members = first.members()
    first.kill()
    second = up().wait_until_ready()
    assert not any(alive(process) for process, _ in members)
    assert second.get("/readyz") == 200
    assert second.admin_password is None
    assert second.stop(signal.SIGINT) == 0


def test_the_servers_of_an_operator_are_used_and_the_dead_are_replaced(up, postgres_url, redis_server):
    system = up(DATABASE_URL=postgres_url, REDIS_URL=redis_server.url).wait_until_ready()
    before = own_children(system)
    assert set(before) == {"gunicorn", "worker", "cron"}
    assert wait_until(redis_server.client().keys, what="a key of ours in that Redis")
    for process in before.values():
        process.kill()
    wait_until(lambda: all_replaced(before, own_children(system)), what="the return of the dead", seconds=60)
    assert log_in(system)["access_token"]


@pytest.fixture
def parts():
    """Stand-ins for the system and a supervisor whose API never gets ready."""

    def wait_for(_ready, *, what, seconds):
        if what == "/readyz":
            raise CannotRun("/readyz was not ready")

    parts = SimpleNamespace(store=lambda: None, store_answers=lambda: True, others=list, is_ready=lambda: False)
    return parts, SimpleNamespace(others=[], start=lambda *_: None, wait_for=wait_for)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_first_admin_is_there_and_told_of_before_the_api_serves(app, client, parts, capsys):
    whole, boss = parts
    seen = []
    boss.start = lambda *_: seen.append(cli_up.first_admin(app))
    with pytest.raises(CannotRun):
        cli_up.start(app, whole, boss)
    password = re.search(rf"  Admin  {FIRST_ADMIN}, password (\S+) ", capsys.readouterr().out)[1]
    assert login(client, FIRST_ADMIN, password).status_code == 200
    assert seen == [None]  # there was one when the API was started


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_cannot_have_a_first_admin_is_told_how_to_make_one(app, people):
    people.customer(email=FIRST_ADMIN)
    assert cli_up.first_admin(app) == "none, for admin@example.com is taken: make one by `flask users create-admin`"
    people.admin()
    assert cli_up.first_admin(app) is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_readme_shows_what_is_printed(app, monkeypatch, capsys):
    monkeypatch.setattr(cli_up.secrets, "token_urlsafe", lambda _: "PASSWORD")
    folder = Path("/home/you/delivery/instance")
    whole = SimpleNamespace(host="127.0.0.1", port=8000, folder=folder, hidden_store=False)
    cli_up.report(whole, admin=cli_up.first_admin(app))
    assert f"```\n{capsys.readouterr().out}```\n" in Path("README.md").read_text()


def refusal(system):
    """The one line that it said before it gave up."""
    assert system.process.wait(timeout=60) == 1
    system.stop()
    [line] = system.output.splitlines()
    return line


def test_a_taken_port_is_one_clear_line(up):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(up(PORT=str(port))) == (
            f"flask up: cannot listen on 127.0.0.1, port {port}: Address already in use. Set HOST or PORT."
        )


def test_an_unwritable_folder_is_one_clear_line(up, tmp_path):
    (tmp_path / "file").touch()  # a folder below a file: nobody can write there, not even root
    folder = tmp_path / "file" / "data"
    assert refusal(up(folder=folder, **KEYS)) == f"flask up: cannot write to DATA_DIR {folder}: Not a directory."


def test_a_database_that_is_none_is_one_clear_line(up, tmp_path):
    (tmp_path / "notes.txt").write_text("These are notes, and nothing that SQLite could read." * 100)
    line = refusal(up(DATABASE_URL=f"sqlite:///{tmp_path}/notes.txt"))
    assert line == "flask up: the database cannot be used: (sqlite3.DatabaseError) file is not a database"
