"""The file of an import, in the database: web and worker may be on hosts that share nothing else."""

import hashlib
from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.sql.expression import bindparam

from delivery.database import db, new_id, reader, transaction
from delivery.errors import AppError
from delivery.imports.models import Import, ImportChunk

CHUNK_BYTES = 262_144
_chunks = ImportChunk.__table__
_ONE = select(_chunks.c.data).where(
    _chunks.c.import_id == bindparam("import_id"), _chunks.c.number == bindparam("number")
)


class Unreadable(AppError):
    """A file that no import can be made of, and why; the answer is a 422 about `file`."""


class Upload:
    """Takes a file piece by piece and writes it in chunks, each committed at once: no more than one is in memory."""

    def __init__(self, *, most_bytes: int, filename: str | None = None) -> None:
        self.import_id, self.filename, self.size_bytes = new_id(), filename, 0
        self._most_bytes, self._number, self._waiting = most_bytes, 0, bytearray()
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> bytes:
        return self._hash.digest()

    @property
    def too_large(self) -> bool:
        return self.size_bytes > self._most_bytes

    def write(self, data: bytes) -> int:
        """Take more of the file; what is beyond its limit is counted, and not kept."""
        self.size_bytes += len(data)
        if self.too_large:
            return len(data)
        self._hash.update(data)
        self._waiting += data
        while len(self._waiting) >= CHUNK_BYTES:
            self._store(bytes(self._waiting[:CHUNK_BYTES]))
            del self._waiting[:CHUNK_BYTES]
        return len(data)

    def end(self) -> None:
        """Write what is left."""
        if self._waiting:
            self._store(bytes(self._waiting))
            self._waiting.clear()

    def _store(self, data: bytes) -> None:
        values = {"import_id": self.import_id, "number": self._number, "data": data}
        with transaction() as session:
            session.execute(insert(_chunks).values(values))
        self._number += 1


def pieces(import_id: UUID) -> Iterator[bytes]:
    """Yield a file, chunk by chunk."""
    number = 0
    while (data := reader().execute(_ONE, {"import_id": import_id, "number": number}).scalar()) is not None:
        yield data
        number += 1


def discard(import_id: UUID) -> None:
    """Delete a file; in the caller's transaction."""
    db.session.execute(delete(_chunks).where(_chunks.c.import_id == import_id))


def discard_unused(import_ids: Sequence[UUID]) -> None:
    """Delete those of these files that no import has; in the caller's transaction.

    The database says which: whoever lost the connection as it committed does not know.
    """
    used = select(Import.id).where(Import.id == _chunks.c.import_id).exists()
    db.session.execute(delete(_chunks).where(_chunks.c.import_id.in_(import_ids), ~used))
