"""deploy/systemd: units that systemd itself finds nothing wrong with, and that run what there is."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from delivery.ops.worker import STOP_SECONDS
from tests.notifications.conftest import on_sqlite

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
# Of ten, where ten is bare; systemd calls it OK below five.
EXPOSED_AT_MOST = 2.0

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")


@pytest.fixture
def units(tmp_path):
    """The units with a program that is there: systemd-analyze looks."""
    for path in UNITS:
        (tmp_path / path.name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", path.read_text()))
    return tmp_path


def analyse(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_finds_nothing_wrong(units):
    result = analyse("verify", *map(str, sorted(units.iterdir())))
    assert (result.returncode, result.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.stem)
def test_a_service_may_do_little(units, service):
    exposed = analyse("security", "--offline=true", f"--threshold={10 * EXPOSED_AT_MOST:.0f}", units / service.name)
    assert exposed.returncode == 0, exposed.stdout


@on_sqlite
@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.stem)
def test_a_service_runs_what_there_is(app, service):
    [program, *words] = re.search(r"(?m)^ExecStart=(.+)$", service.read_text())[1].split()
    assert Path(program).name in {"gunicorn", "flask"}
    assert not words or words[0] in app.cli.commands


def directives(service):
    """{name: value} of a unit."""
    return dict(re.findall(r"(?m)^(\w+)=(.*)$", service.read_text()))


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.stem)
def test_what_a_person_must_mend_is_not_tried_again_and_the_rest_is(service):
    """Not a schema that is older than the code (EX_TEMPFAIL): its migration comes."""
    given = directives(service)
    assert given["Restart"] == "always"
    assert given["RestartPreventExitStatus"] == f"{click.UsageError.exit_code} {os.EX_CONFIG}"


def test_only_the_api_gives_up_for_whoever_connects_would_start_it_for_ever():
    limits = {
        path.stem: (directives(path)["StartLimitIntervalSec"], directives(path).get("StartLimitBurst"))
        for path in SERVICES
    }
    assert limits == {"delivery-cron": ("0", None), "delivery-worker": ("0", None), "delivery-web": ("60", "10")}


def test_a_worker_has_time_to_end_in_peace():
    text = (FOLDER / "delivery-worker.service").read_text()
    assert float(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > STOP_SECONDS
