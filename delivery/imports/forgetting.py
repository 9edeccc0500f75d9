"""Forgetting a recipient in the rows that were refused; in the caller's transaction."""

import re
from collections.abc import Iterable, Iterator
from uuid import UUID

from sqlalchemy import delete, select, tuple_

from delivery.database import db
from delivery.imports.models import ImportBadRow

_rows = ImportBadRow.__table__
_KEY = tuple_(_rows.c.import_id, _rows.c.row)
_PAGE = 500
# A number stands in a file with or without its country code; its end is the same.
_DIGITS = 8


def forget_mentions(*, email: str | None, phone: str | None) -> int:
    """Delete the refused rows in which an address or a number stands, however it is written; returns how many.

    Reads all of them: they are kept for days, and erasures are rare. A file that waits for its import, or is in the
    middle of it, is not looked into: what it makes is new, and the file goes with the import's end.
    """
    ending = re.sub(r"\D", "", phone or "")[-_DIGITS:]
    doomed = [key for key, cells in _pages() if _mentions(cells, email=email, ending=ending)]
    for begin in range(0, len(doomed), _PAGE):
        db.session.execute(delete(_rows).where(_KEY.in_(doomed[begin : begin + _PAGE])))
    return len(doomed)


def _pages() -> Iterator[tuple[tuple[UUID, int], list[str]]]:
    query = select(_rows.c.import_id, _rows.c.row, _rows.c.cells).order_by(_rows.c.import_id, _rows.c.row).limit(_PAGE)
    page = db.session.execute(query).all()
    while page:
        yield from (((row.import_id, row.row), row.cells) for row in page)
        position = page[-1].import_id, page[-1].row
        page = db.session.execute(query.where(position < _KEY)).all() if len(page) == _PAGE else []


def _mentions(cells: Iterable[str], *, email: str | None, ending: str) -> bool:
    return any(
        (email is not None and email in cell.lower()) or (ending and re.sub(r"\D", "", cell).endswith(ending))
        for cell in cells
    )
