"""Password hashes: Argon2id at the configured cost, one at a time in each process.

OWASP Password Storage Cheat Sheet: m=19 MiB, t=2, p=1 at least. Each hash holds that memory and one processor, so that
an unbounded number of logins would take the server down. One thread of a process makes them all: glibc keeps such a
block for every thread that ever had one, and to give it back each time costs half as much again as the hash.
"""

import os
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import Flask, current_app

from delivery.errors import Unavailable, invalid_field
from delivery.users import weaknesses

_HASHER, _DUMMY = "delivery.password_hasher", "delivery.dummy_hash"
_WAIT_SECONDS = 2
T = TypeVar("T")


def init_app(app: Flask) -> None:
    """Prepare the hasher, and a hash to compare with when there is no account."""
    hasher = PasswordHasher(
        memory_cost=app.config["ARGON2_MEMORY_KIB"],
        time_cost=app.config["ARGON2_TIME_COST"],
        parallelism=app.config["ARGON2_PARALLELISM"],
    )
    app.extensions[_HASHER] = hasher
    app.extensions[_DUMMY] = hasher.hash(secrets.token_hex())


def hash_password(password: str) -> str:
    """Hash a new password.

    Raises:
        Unavailable: too many hashes are being computed.
    """
    return _in_turn(_hasher().hash, _normal(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Tell whether this is the password; without a hash it takes as long to say no.

    Raises:
        Unavailable: too many hashes are being computed.
    """
    try:
        _in_turn(_hasher().verify, password_hash or current_app.extensions[_DUMMY], _normal(password))
    except (VerificationError, InvalidHashError):
        return False
    return bool(password_hash)


def is_outdated(password_hash: str) -> bool:
    """Tell whether the hash was made at another cost than is configured now."""
    return _hasher().check_needs_rehash(password_hash)


def weakness_of(password: str, *, own: Iterable[str] = ()) -> str | None:
    """Say what is wrong with a new password; `own` are words that its owner is known by."""
    config = current_app.config
    return weaknesses.weakness_of(
        _normal(password), shortest=config["PASSWORD_MIN_LENGTH"], own=[*own, config["COMPANY_NAME"]]
    )


def check_new(password: str, *, own: Iterable[str] = (), pointer: str = "/password") -> None:
    """Refuse a weak password."""
    weakness = weakness_of(password, own=own)
    if weakness:
        raise invalid_field(pointer, weakness)


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def _hasher() -> PasswordHasher:
    hasher: PasswordHasher = current_app.extensions[_HASHER]
    return hasher


def _in_turn(work: Callable[..., T], *arguments: str) -> T:
    future = _thread(os.getpid()).submit(work, *arguments)
    try:
        return future.result(timeout=_WAIT_SECONDS)
    except TimeoutError:
        if future.cancel():
            raise Unavailable("Too many sign-ins at once; try again.", retry_after_seconds=2) from None
        return future.result()  # its turn came just then


@cache
def _thread(_process_id: int) -> ThreadPoolExecutor:
    """Return this process's thread for hashes; a fork has none of its parent's threads."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="password")
