"""The processes that send: the real workers and cron, and those that they are compared with."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
from speed.meter import cpu_seconds
from speed.servers import ROOT, environment

from delivery.ops.leash import leashed
from tests.servers.waiting import wait_until

FLASK = Path(sys.executable).with_name("flask")


def settings(*, database_url, redis_url, folder, smtp):
    """Return the environment of a system that sends here: webhooks to loopback need a development's settings."""
    return {
        **environment(database_url=database_url, redis_url=redis_url, folder=folder),
        "ENVIRONMENT": "development",
        "LOG_FORMAT": "json",
        "MAIL_FROM": "Bench <no-reply@bench.example>",
        **smtp.settings(),
        "WEBHOOK_ALLOW_LOOPBACK": "true",
    }


class Team:
    """A command of the project's and its children."""

    def __init__(self, popen, log):
        self._popen, self.log = popen, log
        self.process = psutil.Process(popen.pid)

    def children(self):
        return self.process.children(recursive=True)

    def cpu_seconds(self):
        return cpu_seconds(self.process)

    def memory_mib(self):
        """Return the largest (PSS, USS) of the children, in MiB."""
        infos = [child.memory_full_info() for child in self.children()]
        return max(info.pss for info in infos) / 2**20, max(info.uss for info in infos) / 2**20


@contextmanager
def flask(*arguments, environ, log):
    """Run a command of the project's; its log goes to a file."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            leashed([str(FLASK), *arguments], signal=signal.SIGKILL),
            cwd=environ["DATA_DIR"],  # no .env of the project's
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "FLASK_APP": "wsgi:app", **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Team(popen, log)
    except Exception:
        sys.stderr.write(f"The end of what flask {' '.join(arguments)} logged:\n{log.read_text()[-3000:]}\n")
        raise
    finally:
        popen.terminate()
        popen.wait(timeout=20)


@contextmanager
def workers(*channels, environ, log):
    """Run `flask worker` with one process for each channel given."""
    with flask("worker", *channels, environ=environ, log=log) as team:
        wait_until(lambda: len(team.children()) == len(channels), what=f"workers (see {log})", seconds=30)
        yield team


def run_together(commands, *, environ, then):
    """Start Python modules, wait until each is ready, let them loose at once, and return their processor seconds.

    `environ` is what they have in common; `then` is called between, to note the time.
    """
    earlier = _children_seconds()
    started = [
        subprocess.Popen(
            leashed([sys.executable, "-m", *command], signal=signal.SIGKILL),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'bench'}", **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for command in commands
    ]
    for popen in started:
        popen.stdout.readline()
    imported = sum(cpu_seconds(psutil.Process(popen.pid)) for popen in started)
    then()
    for popen in started:
        popen.stdin.write(b"\n")
        popen.stdin.close()
    for popen in started:
        popen.wait(timeout=600)
        popen.stdout.close()
    return _children_seconds() - earlier - imported


def _children_seconds():
    times = os.times()
    return times.children_user + times.children_system
