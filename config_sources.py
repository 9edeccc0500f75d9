"""Where settings come from: the environment, .env, files of secrets, and development's own keys."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from config_checks import SIGNING_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

READABLE = "a UTF-8 text file that this user may read"


class ConfigError(Exception):
    """The settings cannot be used: which ones, and what is expected, never what was found."""

    def __init__(self, problems: dict[str, str], *, code: int = os.EX_CONFIG) -> None:
        self.problems, self.code = problems, code
        super().__init__("\n".join(f"{name}: expected {expected}" for name, expected in problems.items()))


def read_environment() -> dict[str, str]:
    """Return the environment, and beneath it what stands in .env."""
    try:
        saved = dotenv_values(".env", encoding="utf-8")
    except (OSError, UnicodeError):
        raise ConfigError({".env": READABLE}) from None
    return {name: text for name, text in saved.items() if text is not None} | dict(os.environ)


def with_files(raw: Mapping[str, str], settings: Iterable[str]) -> dict[str, str]:
    """Add settings that stand in files, as Docker and Kubernetes hand secrets over: `NAME_FILE` names NAME's."""
    named = {name: raw[f"{name}_FILE"] for name in settings if raw.get(f"{name}_FILE")}
    problems, found = {name: f"nothing beside {name}_FILE" for name in named if raw.get(name)}, {}
    for name, path in named.items():
        try:
            found[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            problems[f"{name}_FILE"] = READABLE
    if problems:
        raise ConfigError(problems)
    return {**raw, **found}


def saved_keys(folder: Path) -> dict[str, str]:
    """Development's keys, made by whichever process comes first; the lock lets nobody see half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secrets.env"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        saved = dotenv_values(stream=file)
        keys = {name: saved.get(name) or secrets.token_urlsafe(48) for name in SIGNING_KEYS}
        if keys != saved:
            is_new = not os.fstat(descriptor).st_size
            try:
                _write(file, keys)
            except OSError:
                if is_new:
                    path.unlink()
                raise
    return keys


def _write(file: TextIO, keys: Mapping[str, str]) -> None:
    file.seek(0)
    file.write("".join(f"{name}={key}\n" for name, key in keys.items()))
    file.truncate()
