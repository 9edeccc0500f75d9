"""Encryption by age or gpg, as BACKUP_AGE_RECIPIENT or BACKUP_GPG_RECIPIENT ask for it."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from scripts.backups.failures import Failed
from scripts.backups.pipes import CHUNK, Step, flow

KINDS = ("age", "gpg")


def kind(environ: Mapping[str, str]) -> str | None:
    """Return by what a backup is to be encrypted.

    Raises:
        Failed: by both.
    """
    asked = [name for name in KINDS if environ.get(f"BACKUP_{name.upper()}_RECIPIENT")]
    if len(asked) > 1:
        raise Failed("set BACKUP_AGE_RECIPIENT or BACKUP_GPG_RECIPIENT, not both", os.EX_CONFIG)
    return asked[0] if asked else None


def sealed(how: str | None) -> list[Step]:
    """Return the step that encrypts, if any."""
    if how == "age":
        return [Step(["age", "--encrypt", "--recipient", os.environ["BACKUP_AGE_RECIPIENT"]])]
    if how == "gpg":
        words = ["gpg", "--batch", "--yes", "--quiet", "--no-tty", "--trust-model", "always", "--compress-algo", "none"]
        return [Step([*words, "--encrypt", "--recipient", os.environ["BACKUP_GPG_RECIPIENT"]])]
    return []


def try_out(how: str | None) -> None:
    """Encrypt nothing, before there is work to lose.

    Raises:
        Failed: the tool is not there, or takes the recipient for none.
    """
    if how is None:
        return
    try:
        flow(*sealed(how))
    except Failed as failure:
        if failure.code == os.EX_UNAVAILABLE:
            raise
        raise Failed(f"BACKUP_{how.upper()}_RECIPIENT is none: {failure}", os.EX_CONFIG) from None


def opened(how: str | None) -> list[Step]:
    """Return the step that decrypts, if any.

    Raises:
        Failed: the key is not named.
    """
    if how == "age":
        identity = os.environ.get("BACKUP_AGE_IDENTITY")
        if not identity:
            raise Failed("the backup is encrypted: set BACKUP_AGE_IDENTITY to the file of the key", os.EX_CONFIG)
        return [Step(["age", "--decrypt", "--identity", identity])]
    if how == "gpg":
        return [Step(["gpg", "--batch", "--quiet", "--no-tty", "--decrypt"])]
    return []


def write(path: Path, *steps: Step, how: str | None) -> str:
    """Write what a chain says to a file, encrypted, and return its name, the file being on the disk."""
    path = path.with_name(f"{path.name}.{how}") if how else path
    with path.open("xb") as file:
        flow(*steps, *sealed(how), sink=file.write)
        file.flush()
        os.fsync(file.fileno())
    return path.name


def sha256(path: Path) -> str:
    """Return the hash of a file, as sha256sum prints it."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
