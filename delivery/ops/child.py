"""One process that `flask up` keeps alive: started again after growing pauses, and ended with all that it started."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

STABLE_SECONDS = 60.0  # who lived that long starts with a clean slate
LONGEST_PAUSE_SECONDS = 30.0


@dataclass
class Child:
    """A command, its process while it runs, and how often it died soon after its start."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    descriptors: Sequence[int] = ()
    output: Path | None = None  # a file instead of our own output
    failures: int = 0
    due: float = 0.0  # when it is to be started again, by time.monotonic()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    started: float = 0.0

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the supervisor alone."""
        self.started = time.monotonic()
        with self.output.open("wb") if self.output else nullcontext() as output:
            self.process = subprocess.Popen(  # noqa: S603  our own commands
                self.command,
                env=self.environ,
                pass_fds=self.descriptors,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ended(self) -> int | None:
        """Its exit code once it has ended; a negative one is a signal."""
        return None if self.process is None else self.process.poll()

    def plan_restart(self, *, pause: float) -> None:
        """Start it again after `pause` seconds, doubled for each early death in a row."""
        lived = time.monotonic() - self.started
        self.failures = self.failures + 1 if lived < STABLE_SECONDS else 1
        self.process = None
        self.due = time.monotonic() + min(pause * 2 ** (self.failures - 1), LONGEST_PAUSE_SECONDS)

    def terminate(self) -> None:
        """Ask it to finish what it is doing and leave."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill_group(self) -> None:
        """End it and whatever it started: work-horses, web workers."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def last_words(self) -> str:
        """The last line of its output file, if it has one."""
        lines = self.output.read_text(errors="replace").split("\n") if self.output and self.output.exists() else []
        return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
