"""Signs of life: scripts/alive.py sees who hangs, and neither the dead nor the living worry it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import yaml
from rq import SimpleWorker

from delivery.ops.leash import leashed
from delivery.ops.signs import SILENT, Sign
from delivery.ops.worker import worker_of
from tests.notifications.conftest import on_sqlite
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "alive.py"
SILENT_SECONDS = 300


def look(folder):
    """(exit code, what it says)."""
    environ = {"ALIVE_DIR": str(folder), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-S", SCRIPT], env=environ, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def hang(folder, name, seconds):
    """Have a process been silent for so long."""
    then = time.monotonic() - seconds
    os.utime(folder / name, (then, then))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "alive"


@pytest.fixture
def sign(folder):
    it = Sign(folder, "mail-0")
    yield it
    if it._descriptor is not None:
        os.close(it._descriptor)


def die(sign):
    """The end of a process gives its locks back."""
    os.close(sign._descriptor)
    sign._descriptor = None


def test_who_gives_signs_is_alive_and_who_is_silent_is_named(folder, sign):
    assert look(folder) == (0, "mail-0")
    hang(folder, "mail-0", SILENT_SECONDS - 5)
    assert look(folder) == (0, "mail-0")
    hang(folder, "mail-0", SILENT_SECONDS + 1)
    assert look(folder) == (1, f"mail-0 has been silent for {SILENT_SECONDS + 1} s")
    sign.give()
    assert look(folder) == (0, "mail-0")


def test_one_of_several_that_hangs_is_enough(folder, sign):
    other = Sign(folder, "sms-1")
    hang(folder, "sms-1", SILENT_SECONDS + 50)
    assert look(folder) == (1, f"sms-1 has been silent for {SILENT_SECONDS + 50} s")
    die(other)
    assert look(folder) == (0, "mail-0")


def test_the_dead_are_nobody_and_nobody_is_not_alive(folder, sign):
    die(sign)
    assert look(folder) == (1, "nobody is there")
    assert look(folder / "no-such-folder") == (1, "there are no signs of life: FileNotFoundError")


def test_a_second_one_of_a_name_gives_none_and_follows_when_the_first_ends(folder, sign):
    second = Sign(folder, "mail-0")
    hang(folder, "mail-0", SILENT_SECONDS + 50)
    second.give()
    assert look(folder)[0] == 1
    die(sign)
    second.give()
    assert look(folder) == (0, "mail-0")
    die(second)


def test_a_folder_that_cannot_be_had_keeps_nobody_from_work(tmp_path, caplog):
    (tmp_path / "file").touch()
    Sign(tmp_path / "file" / "below", "mail-0").give()
    assert "no signs of life" in caplog.text


def test_without_a_folder_there_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SILENT.give()
    Sign(None, "mail-0").give()
    assert list(tmp_path.iterdir()) == []


@on_sqlite
def test_a_worker_gives_one_before_it_waits_for_redis(app, folder, sign, monkeypatch):
    def fail(*_):
        raise ConnectionError

    with app.app_context():
        worker = worker_of("mail")
    worker.sign = sign
    hang(folder, "mail-0", SILENT_SECONDS + 50)
    monkeypatch.setattr(SimpleWorker, "heartbeat", fail)
    with pytest.raises(ConnectionError):
        worker.heartbeat()
    assert look(folder) == (0, "mail-0")


@on_sqlite
def test_each_process_of_a_worker_and_cron_is_seen_to_hang(app, folder, redis_server, tmp_path):
    given = {"ALIVE_DIR": folder, "DATA_DIR": tmp_path, "FLASK_APP": "wsgi:app", "PATH": os.environ["PATH"]}
    given |= {"DATABASE_URL": app.config["DATABASE_URL"], "REDIS_URL": redis_server.url}
    environ = {name: str(value) for name, value in given.items()}
    with ExitStack() as ended:
        for words in (["worker", "mail", "mail"], ["cron"]):
            command = leashed([sys.executable, "-m", "flask", *words], signal=signal.SIGKILL)
            parent = ended.enter_context(psutil.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.DEVNULL))
            ended.callback(parent.kill)
            if words[0] == "worker":
                worker = parent
        wait_until(lambda: look(folder) == (0, "cron, mail-0, mail-1"), what="signs of life", seconds=30)
        for child in worker.children():
            ended.callback(child.kill)
            child.suspend()
        for name in ("cron", "mail-1"):
            hang(folder, name, SILENT_SECONDS + 50)
        wait_until(lambda: look(folder)[1].startswith("mail-1 has been silent"), what="cron's next turn", seconds=10)


def test_the_image_and_both_orchestrators_look():
    assert "ALIVE_DIR=/tmp/alive" in (ROOT / "Dockerfile").read_text()
    assert "!scripts/alive.py" in (ROOT / ".dockerignore").read_text().splitlines()
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {name for name, each in services.items() if "scripts/alive.py" in str(each)} == {"worker", "cron"}
    assert {name for name, each in services.items() if "healthcheck" not in each} == {"migrate"}  # it ends
    for name in ("worker", "cron"):
        [pod] = [
            each["spec"]["template"]["spec"]
            for each in yaml.safe_load_all((ROOT / f"deploy/kubernetes/{name}.yaml").read_text())
            if each["kind"] == "Deployment"
        ]
        probe = pod["containers"][0]["livenessProbe"]["exec"]["command"]
        assert probe == services[name]["healthcheck"]["test"][1:]
        assert any(volume["mountPath"] == "/tmp" for volume in pod["containers"][0]["volumeMounts"])
