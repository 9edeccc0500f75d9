"""Private folders for servers: short enough for a unix socket, gone afterwards."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

SOCKET_PATH_MAX = 100  # the kernel's limit is 107 bytes; the socket's own name needs some of them


@contextmanager
def short_folder(prefix: str):
    """A new private folder whose path leaves room for a socket's name; removed at the end."""
    parent = tempfile.gettempdir()
    if len(parent) + len(prefix) > SOCKET_PATH_MAX - 40:
        parent = "/tmp"
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
