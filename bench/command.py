"""Runs a `flask` command as a process of its own, and measures what it takes."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Took(NamedTuple):
    """Seconds that passed, seconds of processor time, and the most memory that was resident, in MiB."""

    seconds: float
    processor: float
    peak_mib: float


def measure(words, environ):
    """Run `flask` with these words, which must go well.

    The kernel's own maximum (`ru_maxrss`) begins with what the parent had resident at the fork: not asked here.
    """
    began, peak = time.monotonic(), 0
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", *words],
        env={**os.environ, **environ, "FLASK_APP": "wsgi:app"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peak = max(peak, _peak_kib(process.pid))
        time.sleep(0.02)
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return Took(time.monotonic() - began, used.ru_utime + used.ru_stime, peak / 1024)


def _peak_kib(pid):
    """The most that a process had resident since it was executed; 0 of one that has ended."""
    found = re.search(r"^VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
