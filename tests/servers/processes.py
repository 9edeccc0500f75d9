"""Processes that tests start: who is still alive, and that nobody is left at the end."""

import ctypes
import os
import sys

import psutil

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans():
    """Become the parent of every descendant whose own parent died, so that none can hide."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def alive(process):
    """Whether a psutil.Process still runs; a zombie, which nobody has waited for yet, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_descendants(*, but=(), grace=3.0):
    """The command lines of our descendants, `but` those, that did not leave within `grace` seconds; they are killed."""
    _, stayed = psutil.wait_procs([one for one in descendants() if one not in but], timeout=grace)
    stayed = [process for process in stayed if alive(process)]
    lines = [" ".join(process.cmdline()) for process in stayed]
    for process in stayed:
        process.kill()
    return lines


def descendants():
    return [process for process in psutil.Process(os.getpid()).children(recursive=True) if alive(process)]
