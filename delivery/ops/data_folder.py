"""The data folder of a running system: writable, locked by one system at a time, and the place of its socket."""

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path

from delivery.ops.refusals import CannotRun

LOCK_WAIT_SECONDS = 10.0  # as long as the children of a killed supervisor may take to leave
# The kernel takes 107 bytes for a unix socket's path (sockaddr_un).
SOCKET_PATH_MAX = 107


def prepare(folder: Path) -> None:
    """Make the folder, or say why it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CannotRun(f"cannot write to DATA_DIR {folder}: {error.strerror}.") from None


def lock(folder: Path) -> int:
    """Lock the folder and return the lock's descriptor, which every child inherits.

    The lock is free only when all who inherited it are gone: the next start, after a kill -9, waits for them.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + LOCK_WAIT_SECONDS
    while not _try_lock(descriptor):
        if time.monotonic() > end:
            owner = os.read(descriptor, 20).decode() or "unknown"
            raise CannotRun(f"{folder} is in use by another one (process {owner}); stop it or set another DATA_DIR.")
        time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def socket_path(folder: Path) -> Path:
    """Where the embedded Valkey listens: in the folder, or in a short private one where the path would be too long."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return _private(Path(tempfile.gettempdir()) / f"delivery-{os.getuid()}-{name}") / "valkey.sock"


def _private(folder: Path) -> Path:
    """Make the folder for us alone; in a shared place somebody else may have been first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if (found.st_uid, found.st_mode) != (os.getuid(), stat.S_IFDIR | stat.S_IRWXU):
        raise CannotRun(f"{folder} is not private; remove it, or set a DATA_DIR with a shorter path.")
    return folder
