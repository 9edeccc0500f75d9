# ruff: noqa: INP001  a script, not a package
"""Looks for the signs of life of this container's workers or cron (delivery/ops/signs.py), and fails when one hangs.

Standard library only: it runs twice a minute.
"""

import fcntl
import os
import sys
import time

# A turn takes 15 s without work; where Redis is not even refused, forty tries of up to 6 s.
SILENT_SECONDS = 300


def main() -> int:
    """Return the exit code; what it prints is shown by `docker inspect`."""
    folder = os.environ.get("ALIVE_DIR") or "."
    ages = {name: age_of(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}  # noqa: PTH118, PTH208
    alive = {name: age for name, age in ages.items() if age is not None}
    silent = [f"{name} has been silent for {age:.0f} s" for name, age in alive.items() if age > SILENT_SECONDS]
    print(", ".join(silent) or ", ".join(alive) or "nobody is there")  # noqa: T201
    return int(bool(silent) or not alive)


def age_of(path: str) -> float | None:
    """Return for how long a process has given no sign; None: it is none any more."""
    with open(path, "rb") as file:  # noqa: PTH123
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return time.monotonic() - os.fstat(file.fileno()).st_mtime
    return None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        sys.exit(f"there are no signs of life: {type(error).__name__}")
