"""Writing the audit log, and finding out whether it is still as it was written."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from flask import g, has_request_context, request
from sqlalchemy import Row, insert, select, text

from delivery import clock, logs
from delivery.audit.models import AuditEntry
from delivery.database import backend, before_commit, db, reader
from delivery.tokens import keyed_hash
from delivery.web import SYSTEM, Caller

_entries = AuditEntry.__table__
# One writer at a time, until its commit: two could not both follow the same entry. SQLite has one writer anyway.
_TURN = text("SELECT pg_advisory_xact_lock(7235419638412087)")
_NEWEST = select(_entries.c.seq, _entries.c.hash).order_by(_entries.c.seq.desc()).limit(1)
# What the hash covers, in this order; a new column goes to the end, under a new act.
_COVERED = (
    "seq", "at", "act", "actor_type", "actor_id", "object_type", "object_id", "request_id", "address_hash", "details",
)  # fmt: skip
_PAGE = 1000


def record(act: str, *, object_type: str | None = None, object_id: UUID | None = None, **details: Any) -> None:
    """Add an entry to the current transaction: it is there if, and only if, what it tells of is.

    Args:
        act: what was done, as `object.verb_in_the_past`: `session.opened`.
        object_type, object_id: to what; nothing, where what was named does not exist.
        details: plain JSON without personal data: names of fields, counts, ids, keyed hashes.
    """
    by = _actor()
    entry = {
        "at": clock.now(),
        "act": act,
        "actor_type": by.kind if by else "anonymous",
        "actor_id": by.id if by else None,
        "object_type": object_type,
        "object_id": object_id,
        "request_id": logs.current_request_id(),
        "address_hash": address_hash(),
        "details": details | ({"key_id": str(by.key_id)} if by and by.key_id else {}),
    }
    before_commit(_append, entry)


def address_hash() -> str | None:
    """Return a keyed hash of the address that this request comes from: it tells whether two are the same."""
    address = request.remote_addr if has_request_context() else None
    return keyed_hash("address", address).hex()[:32] if address else None


def _actor() -> Caller | None:
    """Return who acts: the caller of a request or command, nobody when not signed in, or a process of ours."""
    acting: Caller | None = g.get("caller")
    return acting if acting or has_request_context() else SYSTEM


def _append(entries: list[dict[str, Any]]) -> None:
    if backend() == "postgresql":
        db.session.execute(_TURN)
    newest = db.session.execute(_NEWEST).one_or_none()
    seq, before = (newest.seq, newest.hash) if newest else (0, None)
    rows = []
    for seq_now, entry in enumerate(entries, seq + 1):
        row = {"seq": seq_now, **entry, "prev_hash": before}
        before = row["hash"] = _hash(row, before)
        rows.append(row)
    db.session.execute(insert(_entries), rows)


def _hash(row: Any, before: bytes | None) -> bytes:
    told = [row[name] for name in _COVERED]
    return hashlib.sha256((before or b"") + orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)).digest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole chain found: how many entries are sound, the newest of them, and the first that is not.

    The chain shows a change in its middle. Whoever rewrote all of it from there on, or cut its end off, is found by a
    head (`seq:hash`) that was written down elsewhere.
    """

    entries: int
    head: str | None
    broken_at: int | None


def verify() -> Verdict:
    """Read the whole log and compute every hash anew."""
    count, before = 0, None
    for row in _all():
        expected = _hash(row._mapping, before)  # noqa: SLF001  # public by its documentation
        if (row.seq, row.prev_hash, row.hash) != (count + 1, before, expected):
            return Verdict(count, head_of(count, before), broken_at=count + 1)
        count, before = row.seq, row.hash
    return Verdict(count, head_of(count, before), broken_at=None)


def head_of(seq: int, hash_: bytes | None) -> str | None:
    """Return how a head is written down: `seq:hash`."""
    return f"{seq}:{hash_.hex()}" if hash_ else None


def head() -> str | None:
    """Return the log's newest entry as `seq:hash`."""
    newest = reader().execute(_NEWEST).one_or_none()
    return head_of(newest.seq, newest.hash) if newest else None


def holds(head: str) -> bool:
    """Tell whether an entry that was the head once is in the log as it was then."""
    seq, _, expected = head.partition(":")
    found = reader().execute(select(_entries.c.hash).where(_entries.c.seq == int(seq))).scalar_one_or_none()
    return found is not None and found.hex() == expected


def _all() -> Iterator[Row[Any]]:
    after = 0
    while (
        page := reader()
        .execute(select(*_entries.c).where(_entries.c.seq > after).order_by(_entries.c.seq).limit(_PAGE))
        .all()
    ):
        yield from page
        after = page[-1].seq
