"""The leash: runs a command that cannot outlive those who need it.

`leashed`: it dies with the process that started it. `kept`: it lives until the last of several is gone; each of them
holds the writing end of a pipe. A killed supervisor's children leave one after the other, and a store that left first
would keep the others waiting for it.

This file is run as a script, `python -IS leash.py ...`, because `preexec_fn` may deadlock in a process with threads
(docs.python.org/3/library/subprocess.html). To the kernel the parent is the thread that starts it: keep that one alive.
Only Linux has what it takes; elsewhere the command simply runs.
"""

import ctypes
import os
import select
import signal as signals
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def leashed(command: list[str], *, signal: int, user: str = "") -> list[str]:
    """The command line that runs `command`, as another user where asked: `signal` reaches it when the caller dies."""
    return [sys.executable, "-IS", __file__, "leash", str(int(signal)), str(os.getpid()), user, *command]


def kept(command: list[str], *, until: int) -> list[str]:
    """The command line that runs `command` and ends it once nobody holds the other end of the pipe `until`."""
    return [sys.executable, "-IS", __file__, "keep", str(until), *command] if sys.platform == "linux" else command


def die_with_parent(signal: int, *, parent: int) -> None:
    """Ask the kernel for `signal` at the parent's death; leave at once when it is dead already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def become(user: str) -> None:
    """Give up root for good: groups first, since only root may change them."""
    import pwd  # noqa: PLC0415  needed by root alone

    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def leash(signal: str, parent: str, user: str, *command: str) -> None:
    if user:
        become(user)
    die_with_parent(int(signal), parent=int(parent))  # after the change of user, which clears it
    os.execvp(command[0], command)  # noqa: S606  the command is our caller's


def keep(until: str, *command: str) -> None:
    keeper, child = os.getpid(), os.fork()
    if not child:
        leash(str(int(signals.SIGTERM)), str(keeper), "", *command)
    signals.signal(signals.SIGTERM, lambda *_: os.kill(child, signals.SIGTERM))
    ended = os.pidfd_open(child)
    if ended not in select.select([int(until), ended], [], [])[0]:
        os.kill(child, signals.SIGTERM)  # the pipe's end: nobody is left
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    (leash if sys.argv[1] == "leash" else keep)(*sys.argv[2:])
