"""Looking at a file before anything is made of it: can it be read to its end, has it the columns, how many rows."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from delivery.errors import Invalid, invalid_field
from delivery.imports import encodings, files, tables
from delivery.imports.files import Unreadable
from delivery.imports.mapping import refuse_gaps
from delivery.imports.services import Looked
from delivery.imports.targets import NAMED


def look(import_id: UUID, settings: dict[str, Any]) -> Looked:
    """Read a file from its beginning to its end.

    Raises:
        Invalid: it has no columns, or lacks one, or something that every delivery needs has none.
        Unreadable: it is no CSV, or breaks off.
    """
    encoding, guessed = settings["encoding"], False
    if encoding:
        encodings.refuse_other_kinds(next(files.pieces(import_id), b""))
    else:
        encoding, guessed = encodings.detect(files.pieces(import_id))
    delimiter = settings["delimiter"] or tables.sniff(_text(import_id, encoding), _wanted(settings))
    known = {**settings, "encoding": encoding, "delimiter": delimiter, "encoding_guessed": guessed}
    found = records(import_id, known)
    header = tables.header_of(next(found, None))
    _refuse_gaps(header, known)
    rows_total = sum(1 for _ in found)
    if not rows_total:
        raise Unreadable("The file has a header and no rows.", code="no_rows")
    return Looked(known, header, rows_total)


def _refuse_gaps(header: list[str], settings: dict[str, Any]) -> None:
    """Refuse a file that lacks columns; of one that has no columns at all say that, not each that it lacks."""
    try:
        refuse_gaps(header, settings)
    except Invalid:
        name, delimiter = header[0][:100], settings["delimiter"]
        if name.startswith(("<", "{", "[")):
            message = f"The file begins with {name!r}, as HTML, XML and JSON do; save it as CSV and send that."
        elif len(header) == 1:
            message = f"Only one column was found, {name!r}, with the delimiter {delimiter!r}; declare the right one."
        else:
            raise
        raise invalid_field("/file", message, code="not_csv") from None


def records(import_id: UUID, settings: dict[str, Any]) -> Iterator[tables.Record]:
    """Yield the records of a stored file, the header first."""
    return tables.records(_text(import_id, settings["encoding"]), settings["delimiter"])


def _text(import_id: UUID, encoding: str) -> Iterator[str]:
    return encodings.text(files.pieces(import_id), encoding)


def _wanted(settings: dict[str, Any]) -> set[str]:
    return {name for names in settings["mapping"].values() for name in names} or set(NAMED)
