"""How long refused rows are kept, and files that nothing became of; in the caller's transaction."""

from flask import current_app
from sqlalchemy import delete, select, tuple_

from delivery import clock
from delivery.database import db, now, oldest_id
from delivery.imports.models import Import, ImportBadRow, ImportChunk
from delivery.imports.queries import OPEN

_imports, _bad, _chunks = Import.__table__, ImportBadRow.__table__, ImportChunk.__table__
_DAY_SECONDS = 86_400
# Longer than an upload can take.
_ORPHANED_SECONDS = 3600


def purge(limit: int) -> int:
    """Delete up to `limit` refused rows, and parts of files, that are not needed any more; returns how many."""
    return max(_purge_rows(limit), _purge_files(limit))


def _purge_rows(limit: int) -> int:
    keep_seconds = _DAY_SECONDS * current_app.config["IMPORT_KEEP_DAYS"]
    ended = select(_imports.c.id).where(_imports.c.finished_at < now(plus=-keep_seconds))
    old = select(_bad.c.import_id, _bad.c.row).where(_bad.c.import_id.in_(ended)).limit(limit).cte("old")
    mine = tuple_(_bad.c.import_id, _bad.c.row).in_(select(old))
    return len(db.session.execute(delete(_bad).where(mine).returning(_bad.c.row)).all())


def _purge_files(limit: int) -> int:
    """Delete what uploads left that broke off: an import's own file goes with its end."""
    before = oldest_id(clock.now(), minus_seconds=_ORPHANED_SECONDS)
    needed = select(_imports.c.id).where(OPEN)
    orphans = (
        select(_chunks.c.import_id, _chunks.c.number)
        .where(_chunks.c.import_id < before, _chunks.c.import_id.not_in(needed))
        .limit(limit)
        .cte("orphans")
    )
    mine = tuple_(_chunks.c.import_id, _chunks.c.number).in_(select(orphans))
    return len(db.session.execute(delete(_chunks).where(mine).returning(_chunks.c.number)).all())
