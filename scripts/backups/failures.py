"""How a backup or a restore ends when it cannot: one line, and an exit code that says of what kind it is."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

# What the tools say, in the order in which it is looked for.
_KINDS = (
    (os.EX_CONFIG, ("age: error: reading",)),  # age, of the file of a key
    (os.EX_IOERR, ("No space left", "Disk quota exceeded", "disk full", "disk is full")),
    (os.EX_NOPERM, ("authentication failed", "no password supplied", "permission denied", "must be owner")),
    (
        os.EX_UNAVAILABLE,
        ("connection to server", "could not connect", "does not exist", "is not running", "Cannot conn"),
    ),
    (
        os.EX_DATAERR,
        (
            "invalid",
            "corrupt",
            "not appear to be",
            "decrypt",
            "no identity",
            "unsupported version",
            "not in gzip",
            "unexpected end",
        ),
    ),
)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
INTERRUPTED = 130


class Failed(Exception):
    """It cannot be done: a line for people, and an exit code of sysexits.h."""

    def __init__(self, line: str, code: int = 1) -> None:
        self.code = code
        super().__init__(line)


def said(what: str, text: str) -> Failed:
    """Return what a tool's last words mean."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = next((line for line in lines if "error" in line.lower() or "fatal" in line.lower()), None)
    line = (telling or (lines[-1] if lines else "it says nothing")).removeprefix("Error: ").removeprefix(f"{what}: ")
    kinds = (code for code, words in _KINDS if any(word.lower() in text.lower() for word in words))
    return Failed(f"{what}: {line}", next(kinds, 1))


def of_files(error: OSError) -> Failed:
    """Return what a refusal of the system means."""
    code = os.EX_NOPERM if error.errno in {errno.EACCES, errno.EPERM} else os.EX_IOERR
    return Failed(f"{error.filename or 'writing'}: {error.strerror}", code)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a command to its end; whatever fails is one line. What asks it to end has it clean up first."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)
    os.umask(0o077)  # what is written is about people
    try:
        main()
    except Failed as failure:
        _end(f"{failure}", failure.code)
    except OSError as error:
        failure = of_files(error)
        _end(f"{failure}", failure.code)
    except KeyboardInterrupt:
        _end("interrupted; nothing was changed", INTERRUPTED)
    sys.exit(0)


def _end(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"Error: {line.rstrip('.')}.\n")
    sys.exit(code)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Have signals wait that would end this process, where half a step is worse than none."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)  # who is impatient does not stop the cleaning up
    raise KeyboardInterrupt
