"""Password hashes: Argon2id at the configured cost, never more at once than there are processors.

OWASP Password Storage Cheat Sheet: m=19 MiB, t=2, p=1 at least. Each hash holds that memory and one processor,
so that an unbounded number of logins would take the server down.
"""

import ctypes
import os
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import Flask, current_app

from delivery.errors import Unavailable, invalid_field

_HASHER, _DUMMY = "delivery.password_hasher", "delivery.dummy_hash"
_slots = threading.BoundedSemaphore(os.cpu_count() or 2)
_WAIT_SECONDS = 2
_M_MMAP_THRESHOLD, _ONE_MIB = -3, 1 << 20  # malloc.h


def init_app(app: Flask) -> None:
    """Prepare the hasher, and a hash to compare with when there is no account."""
    _return_large_blocks()
    hasher = PasswordHasher(
        memory_cost=app.config["ARGON2_MEMORY_KIB"],
        time_cost=app.config["ARGON2_TIME_COST"],
        parallelism=app.config["ARGON2_PARALLELISM"],
    )
    app.extensions[_HASHER] = hasher
    app.extensions[_DUMMY] = hasher.hash("nobody's password")


def _return_large_blocks() -> None:
    """Have glibc give the memory of each hash back to the system.

    It would otherwise keep those 19 MiB for each thread that ever hashed: 255 MiB a worker after 60 logins.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, and no such habit
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _ONE_MIB)


def hash_password(password: str) -> str:
    """Hash a new password.

    Raises:
        Unavailable: too many hashes are being computed.
    """
    with _slot():
        return _hasher().hash(_normal(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Tell whether this is the password; without a hash it takes as long to say no.

    Raises:
        Unavailable: too many hashes are being computed.
    """
    with _slot():
        try:
            _hasher().verify(password_hash or current_app.extensions[_DUMMY], _normal(password))
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Tell whether the hash was made at another cost than is configured now."""
    return _hasher().check_needs_rehash(password_hash)


def weakness_of(password: str) -> str | None:
    """Say what is wrong with a new password (NIST SP 800-63B-4: length counts, composition rules do not)."""
    shortest = current_app.config["PASSWORD_MIN_LENGTH"]
    return f"Must have at least {shortest} characters." if len(_normal(password)) < shortest else None


def check_new(password: str, *, pointer: str = "/password") -> None:
    """Refuse a weak password."""
    weakness = weakness_of(password)
    if weakness:
        raise invalid_field(pointer, weakness)


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def _hasher() -> PasswordHasher:
    hasher: PasswordHasher = current_app.extensions[_HASHER]
    return hasher


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(timeout=_WAIT_SECONDS):
        raise Unavailable("Too many sign-ins at once; try again.", retry_after_seconds=2)
    try:
        yield
    finally:
        _slots.release()
