"""The leash: becomes a command that dies with the process that started it, as another user where asked.

Started as a script, `python -IS leash.py SIGNAL PARENT USER COMMAND...`, because `preexec_fn` may deadlock in a process
with threads (docs.python.org/3/library/subprocess.html). To the kernel the parent is the thread that starts it: keep
that one alive. Only Linux has the death signal; elsewhere the command simply runs.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def leashed(command: list[str], *, signal: int, user: str = "") -> list[str]:
    """The command line that runs `command` on the leash: `signal` reaches it when the calling process dies."""
    return [sys.executable, "-IS", __file__, str(int(signal)), str(os.getpid()), user, *command]


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


def main(arguments: list[str]) -> None:
    signal, parent, user, *command = arguments
    if user:
        become(user)
    die_with_parent(int(signal), parent=int(parent))  # after the change of user, which clears it
    os.execvp(command[0], command)  # noqa: S606  the command is our caller's


if __name__ == "__main__":
    main(sys.argv[1:])
