"""Imports, their bad rows and templates, as lists and one by one; they write nothing."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select
from sqlalchemy.sql.expression import bindparam, literal_column

from delivery.database import now, reader
from delivery.imports.models import Import, ImportBadRow, ImportTemplate
from delivery.imports.states import UNFINISHED, ImportState

_i, _b, _t = Import.__table__.c, ImportBadRow.__table__.c, ImportTemplate.__table__.c
IMPORT_BY_ID = select(*_i).where(_i.id == bindparam("id"))
TEMPLATE_BY_ID = select(*_t).where(_t.id == bindparam("id"))
_PAGE = 500
# A literal: with bound values neither database could use its partial index.
OPEN = _i.state.in_([literal_column(f"'{state}'") for state in sorted(UNFINISHED)])


def imports(
    user_id: UUID | None, *, state: ImportState | None = None, after: UUID | None = None, limit: int
) -> Sequence[Row[Any]]:
    """Return a page of the imports that somebody made, or whose deliveries are theirs; of all, for None."""
    query = select(*_i).order_by(_i.id.desc()).limit(limit)
    if user_id:
        query = query.where(or_(_i.created_by == user_id, _i.owner_id == user_id))
    if state:
        query = query.where(_i.state == state)
    if after:
        query = query.where(_i.id < after)
    return reader().execute(query).all()


def templates(owner_id: UUID, *, after: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return a page of somebody's templates, the newest first."""
    query = select(*_t).where(_t.owner_id == owner_id).order_by(_t.id.desc()).limit(limit)
    return reader().execute(query.where(_t.id < after) if after else query).all()


def bad_rows(import_id: UUID, *, after: int = 0) -> Iterator[Row[Any]]:
    """Yield the rows of an import that were refused, in their order, read page by page."""
    query = select(*_b).where(_b.import_id == import_id).order_by(_b.row).limit(_PAGE)
    page = reader().execute(query.where(_b.row > after)).all()
    while page:
        yield from page
        page = reader().execute(query.where(_b.row > page[-1].row)).all() if len(page) == _PAGE else []


def is_due() -> bool:
    """Tell whether an import waits for somebody to work on it; one probe of a partial index."""
    return reader().execute(select(_i.id).where(OPEN, _i.next_at <= now()).limit(1)).first() is not None


def unfinished() -> tuple[dict[str, int], float]:
    """Return how many imports of each state have not ended, and for how long the first has waited for a worker."""
    query = select(_i.state, func.count(), func.min(_i.next_at), now()).where(OPEN).group_by(_i.state)
    found = reader().execute(query).all()
    waited = [(at - due).total_seconds() for _, _, due, at in found]
    return {state.value: 0 for state in sorted(UNFINISHED)} | {row[0]: row[1] for row in found}, max([0.0, *waited])
