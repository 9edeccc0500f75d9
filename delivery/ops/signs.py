"""Signs of life: a file for each process of a worker or cron, for the health check of its container (scripts/alive.py).

A process that lives holds the lock of its file, and touches it at each turn. So a lock without a touch is a process
that hangs, and a file without a lock is what a dead one has left.
"""

import fcntl
import logging
import os
import time
from pathlib import Path

logger = logging.getLogger(__name__)


class Sign:
    """The sign of one process; it gives none where ALIVE_DIR is not set."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._descriptor: int | None = None
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:  # what it does matters more than that it is seen
            logger.warning("no signs of life", extra={"error_class": type(error).__name__})
        self.give()

    def give(self) -> None:
        """Say that this process lives; by the clock that nobody sets."""
        if self._descriptor is None:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # a second one of this name, or whoever looks: the next time
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        os.utime(self._descriptor, ns=(now, now))


SILENT = Sign(None, "")
