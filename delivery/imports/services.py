"""What can be done to imports: ask for one, cancel it, forget it; in the caller's transaction."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, delete, or_, select, update

from delivery import clock, logs
from delivery.database import after_commit, db, now, upsert
from delivery.deliveries.creating import check_owner
from delivery.errors import Conflict
from delivery.imports import files
from delivery.imports.models import Import, ImportBadRow, ImportTemplate
from delivery.imports.queries import OPEN
from delivery.imports.states import COUNTS, ImportState
from delivery.imports.waking import wake_soon
from delivery.web import Caller

_imports, _bad_rows, _templates = Import.__table__, ImportBadRow.__table__, ImportTemplate.__table__
_i = _imports.c


@dataclass(frozen=True, slots=True)
class Looked:
    """A file that was looked at: its encoding, delimiter and header, and how many rows it has."""

    settings: dict[str, Any]
    header: list[str]
    rows_total: int


def submit(
    by: Caller,
    upload: files.Upload,
    looked: Looked,
    *,
    owner_id: UUID,
    dry_run: bool,
    notify: bool,
    again: bool,
) -> Row[Any]:
    """Ask for a file's import; its chunks are there already.

    Raises:
        Conflict: this very file was imported before with the same settings; `existing_id` names that import.
        Forbidden: the owner is somebody else, and the caller is no dispatcher.
        Invalid: there is no such owner.
    """
    check_owner(by, owner_id)
    once = None if dry_run or again else _fingerprint(upload.sha256, looked.settings)
    values = {
        "id": upload.import_id, "owner_id": owner_id, "created_by": by.id, "actor_type": by.kind,
        "request_id": logs.current_request_id(), "state": ImportState.QUEUED, "dry_run": dry_run, "notify": notify,
        "on_duplicate": looked.settings["on_duplicate"], "filename": upload.filename, "size_bytes": upload.size_bytes,
        "sha256": upload.sha256, "fingerprint": once, "settings": looked.settings, "header": looked.header,
        "rows_total": looked.rows_total, "last_row": 1, "attempts": 0, "next_at": now(), "created_at": clock.now(),
        **dict.fromkeys(("rows_done", *COUNTS), 0),
    }  # fmt: skip
    made = db.session.execute(upsert(_imports).values(values).on_conflict_do_nothing().returning(*_i)).one_or_none()
    if made is None:
        raise _imported_before(owner_id, once)
    after_commit(wake_soon, None)
    return made


def _fingerprint(sha256: bytes, settings: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(sha256 + orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).digest()


def _imported_before(owner_id: UUID, fingerprint: bytes | None) -> Conflict:
    same = select(_i.id).where(_i.owner_id == owner_id, _i.fingerprint == fingerprint)
    existing = db.session.execute(same).scalar_one_or_none()
    detail = "This file was imported before, with the same settings; `again` imports it all the same."
    return Conflict(detail, code="already_imported", existing_id=str(existing))


def cancel(import_id: UUID) -> Row[Any]:
    """End an import where it is; the rows that were dealt with stay.

    Raises:
        Conflict: it has ended already.
    """
    ended = end(import_id, ImportState.CANCELLED)
    if ended is None:
        raise Conflict("This import has ended already.", code="finished")
    return ended


def end(import_id: UUID, state: ImportState, *, error_code: str | None = None) -> Row[Any] | None:
    """End an import that has not ended, and delete its file; None: it had ended.

    One that did not come to its end may be asked for again.
    """
    values: dict[str, Any] = {"state": state, "finished_at": now(), "lease_token": None, "error_code": error_code}
    if state in {ImportState.CANCELLED, ImportState.FAILED}:
        values["fingerprint"] = None
    statement = update(_imports).where(_i.id == import_id, OPEN).values(values).returning(*_i)
    ended = db.session.execute(statement).one_or_none()
    if ended is not None:
        files.discard(import_id)
    return ended


def forget(user_id: UUID) -> None:
    """Forget the imports of somebody who was erased: files, bad rows, names of files, templates."""
    theirs = or_(_i.owner_id == user_id, _i.created_by == user_id)
    for import_id in db.session.execute(select(_i.id).where(theirs, OPEN)).scalars().all():
        end(import_id, ImportState.CANCELLED)
    mine = select(_i.id).where(theirs)
    db.session.execute(delete(_bad_rows).where(_bad_rows.c.import_id.in_(mine)))
    for row in db.session.execute(select(_i.id, _i.settings).where(theirs)).all():
        settings = {**row.settings, "defaults": {}}  # they may hold an address of the sender's
        db.session.execute(update(_imports).where(_i.id == row.id).values(filename=None, settings=settings))
    db.session.execute(delete(_templates).where(_templates.c.owner_id == user_id))
