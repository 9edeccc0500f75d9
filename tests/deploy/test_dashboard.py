"""rq-dashboard: off by itself, never without a password, and nothing of it in our own image."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PASSWORD = "p4" * 16


class Loader(yaml.SafeLoader):
    """Compose's own tags are of no interest here."""


Loader.add_multi_constructor("!", lambda _loader, _tag, _node: None)
COMPOSITIONS = {path.name: yaml.load(path.read_text(), Loader) for path in ROOT.glob("docker-compose*.yml")}
SERVICE = COMPOSITIONS["docker-compose.prod.yml"]["services"]["dashboard"]


def test_it_is_in_production_alone_and_started_only_where_it_is_named():
    having = [name for name, composition in COMPOSITIONS.items() if "dashboard" in composition["services"]]
    assert having == ["docker-compose.prod.yml"]
    assert SERVICE["profiles"] == ["dashboard"]
    for composition in COMPOSITIONS.values():
        for name, service in composition["services"].items():
            assert "dashboard" not in (service or {}).get("depends_on", {}), name


def test_this_host_alone_reaches_it():
    assert all(port.startswith("127.0.0.1:") for port in SERVICE["ports"])
    assert "front" not in SERVICE["networks"]
    assert not [path for path in (ROOT / "nginx").rglob("*.conf") if "9181" in path.read_text()]


def test_it_has_two_secrets_as_files_and_no_more_rights_than_the_others():
    assert SERVICE["secrets"] == ["redis_url", "dashboard_password"]
    assert not any(re.search("PASSWORD|URL|TOKEN", name) for name in SERVICE["environment"])
    assert (SERVICE["read_only"], SERVICE["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in SERVICE["security_opt"]
    assert SERVICE["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


def test_nothing_of_it_is_in_our_own_lock():
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert "rq-dashboard" not in (ROOT / name).read_text()
    lock = (ROOT / "requirements-dashboard.txt").read_text()
    pins = re.findall(r"(?m)^(\S+)==\S+ \\\n    --hash=sha256:", lock)
    assert {"rq-dashboard", "six", "rq", "redis"} <= set(pins)
    assert len(pins) == len(re.findall(r"(?m)^\w", lock)), "each with its hash"
    ours = dict(re.findall(r"(?m)^(rq|redis)==(\S+)", (ROOT / "requirements.txt").read_text()))
    assert ours == dict(re.findall(r"(?m)^(rq|redis)==(\S+)", lock)), "jobs are read as they were written"


@pytest.fixture
def start(tmp_path):
    """Call it with the secrets: (exit code, output) of scripts/dashboard, whose program tells how it was called."""
    program = tmp_path / "bin/rq-dashboard"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$RQ_DASHBOARD_USERNAME $RQ_DASHBOARD_PASSWORD $RQ_DASHBOARD_REDIS_URL" "$@"\n')
    program.chmod(0o755)

    def run(**secrets):
        for name, value in secrets.items():
            (tmp_path / name).write_text(f"{value}\n")
        env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "SECRETS": str(tmp_path)}
        done = subprocess.run([ROOT / "scripts/dashboard"], env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("password", [None, "", "short", "x" * 15])
def test_without_a_password_worth_the_name_it_does_not_start(start, password):
    given = {} if password is None else {"dashboard_password": password}
    code, said = start(redis_url="redis://redis:6379/0", **given)
    assert (code, "rq-dashboard" in said) == (78, False)
    assert said.splitlines()[-1].startswith("dashboard: ")


def test_without_an_address_it_does_not_start(start):
    assert start(dashboard_password=PASSWORD)[0] == 78


def test_it_wants_the_password_and_can_delete_nothing(start):
    code, said = start(dashboard_password=PASSWORD, redis_url="redis://:secret@redis:6379/0")
    called = f"ops {PASSWORD} redis://:secret@redis:6379/0 --bind 0.0.0.0 --port 9181 --json --disable-delete\n"
    assert (code, said) == (0, called)


def test_scripts_secrets_makes_the_password():
    assert 'keep dashboard_password "$(random)"' in (ROOT / "scripts/secrets").read_text()
