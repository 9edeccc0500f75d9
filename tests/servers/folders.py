"""Private folders for servers: short enough for a unix socket; those of killed runs are removed by the next one."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psutil

SOCKET_PATH_MAX = 100  # the kernel's limit is 107 bytes; the socket's own name needs some of them
OWNER = "owner.pid"


@contextmanager
def short_folder(prefix: str):
    """A new private folder whose path leaves room for a socket's name; removed at the end."""
    parent = tempfile.gettempdir()
    if len(parent) + len(prefix) > SOCKET_PATH_MAX - 40:
        parent = "/tmp"
    remove_orphans(Path(parent), prefix)
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    (path / OWNER).write_text(str(os.getpid()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_orphans(parent, prefix):
    """Remove the folders of owners that were killed before they could."""
    for owner in parent.glob(f"{prefix}*/{OWNER}"):
        try:
            killed = not psutil.pid_exists(int(owner.read_text()))
        except (OSError, ValueError):  # somebody else's, half written, or going away just now
            continue
        if killed:
            shutil.rmtree(owner.parent, ignore_errors=True)
