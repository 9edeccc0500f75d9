"""The rows that were refused, as a table that can be put right and imported."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from delivery.deliveries.exporting import guarded
from delivery.imports.mapping import theirs
from delivery.imports.states import OUR_COLUMNS
from delivery.imports.tables import said

# Excel takes a file without it for one in the encoding of its country.
_MARK = "\ufeff"


def table(asked: Any, rows: Iterable[Any]) -> Iterator[str]:
    """Yield CSV with the columns as they came, and three more: the row, the reasons, the suggestions."""
    places = theirs(asked.header)
    yield _MARK + _line([*(asked.header[place] for place in places), *OUR_COLUMNS], asked)
    for row in rows:
        # As they are read: guarded as they came, they would gather an apostrophe each time that they come back.
        cells = [said(row.cells[place]) if place < len(row.cells) else "" for place in places]
        extra = map(said, row.cells[len(asked.header) :])
        yield _line([*cells, *_reasons(row), *extra], asked)


def _reasons(row: Any) -> tuple[str, str, str]:
    reasons, suggested = [], []
    for error in row.errors:
        where = error["column"] or error["field"]
        reasons.append(f"{where}: {error['message']}" if where else error["message"])
        if error["suggestion"]:
            suggested.append(f"{where}: {error['suggestion']}")
    return str(row.row), " ".join(reasons), "; ".join(suggested)


def _line(cells: Sequence[str], asked: Any) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=asked.settings["delimiter"]).writerow(map(guarded, cells))
    return line.getvalue()
