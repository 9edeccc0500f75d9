"""Chains of processes, with nothing of what flows through them in memory, and every error noticed."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, Any

from scripts.backups.failures import Failed, said

CHUNK = 1 << 20


@dataclass(frozen=True)
class Step:
    """A process of a chain; passwords stand in its environment, never among its words."""

    words: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)
    called: str = ""

    @property
    def name(self) -> str:
        """How people call it."""
        return self.called or os.path.basename(self.words[0])  # noqa: PTH119  a word, not a path of ours


def flow(*steps: Step, source: IO[bytes] | None = None, sink: Callable[[bytes], Any] | None = None) -> None:
    """Run a chain from a file to a function that takes what comes out.

    Raises:
        Failed: one of them did; the first that is to blame.
    """
    with ExitStack() as stack:
        running, before = [], source
        for step in steps:
            errors = stack.enter_context(TemporaryFile())
            process = stack.enter_context(_started(step, before, errors))
            stack.callback(_kill, process)
            if before is not source and before is not None:
                before.close()
            before = process.stdout
            running.append((step, process, errors))
        stack.callback(before.close if before else bool)
        _drain(before, sink)
        for _, process, _ in running:
            process.wait()
        _judge(running)


def _started(step: Step, source: IO[bytes] | None, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    environ = {**os.environ, **step.env}
    try:
        return subprocess.Popen(  # noqa: S603  our own words
            step.words, stdin=source or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environ
        )
    except FileNotFoundError:
        raise Failed(f"{step.name} is not installed", os.EX_UNAVAILABLE) from None


def _drain(last: IO[bytes] | None, sink: Callable[[bytes], Any] | None) -> None:
    while last is not None and (chunk := last.read(CHUNK)):
        if sink is not None:
            sink(chunk)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()


def _judge(running: Sequence[tuple[Step, subprocess.Popen[bytes], IO[bytes]]]) -> None:
    """Blame whoever failed first; who only found that the next one had heard enough is no failure."""
    if running[-1][1].returncode == 0 and len(running) > 1 and running[0][1].returncode == -signal.SIGPIPE:
        return
    for step, process, errors in running:
        if process.returncode not in {0, -signal.SIGPIPE}:
            errors.seek(0)
            raise said(step.name, errors.read().decode(errors="replace"))
