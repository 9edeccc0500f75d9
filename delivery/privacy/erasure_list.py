"""The list of erasures outside the database: what a restored backup has forgotten to forget stands here.

One JSON object a line, only ever appended, flushed to the disk. The file is compared with the table, not with a mark in
it: so several hosts each keep a whole list, and whatever a crash or a restore left out is added at the next look.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import orjson
from sqlalchemy import Row, select

from delivery.database import reader
from delivery.privacy.models import Erasure
from delivery.privacy.queries import key_mark
from delivery.privacy.states import Kind

_erasures = Erasure.__table__
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Line:
    """An erasure as the list has it; the hashes can be compared by whoever has the key of `key_mark`."""

    id: UUID
    kind: Kind
    user_id: UUID | None
    email_hash: bytes | None
    phone_hash: bytes | None
    requested_at: datetime
    key_mark: str


def keep_up(path: Path) -> int:
    """Append the erasures that the list lacks; returns how many those were.

    Raises:
        OSError: the file cannot be written.
    """
    with _locked(path) as file:
        missing = _lacking(_whole_lines(file))
        for start in range(0, len(missing), _BATCH):
            chosen = _erasures.c.id.in_(missing[start : start + _BATCH])
            for row in reader().execute(select(*_erasures.c).where(chosen).order_by(_erasures.c.id)):
                file.write(_written(row))
        if missing:
            file.flush()
            os.fsync(file.fileno())
        return len(missing)


def lacking(path: Path) -> int:
    """Return how many erasures the list lacks.

    Raises:
        OSError: the file cannot be read.
    """
    return len(_lacking(path.read_bytes().splitlines() if path.exists() else []))


def read(path: Path) -> tuple[list[Line], int]:
    """Return the erasures of a list, and how many lines cannot be read.

    Raises:
        OSError: the file cannot be read.
    """
    lines = path.read_bytes().splitlines()
    found = list(_readable(lines))
    return found, len(lines) - len(found)


def _lacking(lines: Sequence[bytes]) -> list[UUID]:
    known = {line.id for line in _readable(lines)}
    return [one for one in reader().execute(select(_erasures.c.id)).scalars() if one not in known]


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Open the file for one writer at a time on this host; a new one is in its folder for good."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if is_new:
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        yield file


def _whole_lines(file: BinaryIO) -> list[bytes]:
    """Read the list, and cut off the line that a writer who died left unfinished: it is written anew."""
    content = file.read()
    end = content.rfind(b"\n") + 1
    file.seek(end)
    file.truncate()
    return content[:end].splitlines()


def _readable(lines: Sequence[bytes]) -> Iterator[Line]:
    for line in lines:
        try:
            yield _line(orjson.loads(line))
        except (ValueError, KeyError, TypeError):
            continue  # damaged: written anew by keep_up(), counted by read()


def _line(told: dict[str, Any]) -> Line:
    return Line(
        id=UUID(told["id"]),
        kind=Kind(told["kind"]),
        user_id=told["user_id"] and UUID(told["user_id"]),
        email_hash=told["email_hash"] and bytes.fromhex(told["email_hash"]),
        phone_hash=told["phone_hash"] and bytes.fromhex(told["phone_hash"]),
        requested_at=datetime.fromisoformat(told["requested_at"]),
        key_mark=told["key_mark"],
    )


def _written(row: Row[Any]) -> bytes:
    told = {
        "id": row.id,
        "kind": row.kind,
        "user_id": row.user_id,
        "email_hash": row.email_hash and row.email_hash.hex(),
        "phone_hash": row.phone_hash and row.phone_hash.hex(),
        "requested_at": row.requested_at,
        "key_mark": key_mark(),
    }
    return orjson.dumps(told, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
