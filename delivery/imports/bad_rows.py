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
    """Yield CSV: the row, the reasons, the suggestions, then the columns of the file.

    Ours come first, so that cells beyond the last column follow the others as they did.
    """
    places = theirs(asked.header)
    yield _MARK + _line([*OUR_COLUMNS, *(asked.header[place] for place in places)], asked)
    for row in rows:
        cells = [_cell(row.cells[place]) if place < len(row.cells) else "" for place in places]
        extra = map(_cell, row.cells[len(asked.header) :])
        yield _line([*_reasons(row), *cells, *extra], asked)


def _cell(came: str) -> str:
    """Return a cell as it came; what is guarded, or has to be, as it is read: else each round added an apostrophe."""
    text = said(came)
    plain = text == came.strip() and guarded(text) == text and guarded(came) == came
    return came if plain else text


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
