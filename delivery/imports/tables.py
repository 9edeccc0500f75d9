"""Reading CSV: records of cells, one at a time, however long the file and whatever is wrong with it."""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

from delivery.deliveries.exporting import unguarded
from delivery.imports.files import Unreadable
from delivery.imports.states import DELIMITERS, LONGEST_RECORD, MOST_COLUMNS, MOST_ROWS

_SAMPLE_RECORDS = 20
Record = tuple[int, list[str]]


class _Lines:
    """Lines of any ending, each with one line feed; a record without end is refused before it fills the memory."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.number, self._taken, self._begins = 0, 0, 1
        self._lines = self._split(texts)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self._taken += len(line)
        if self._taken > LONGEST_RECORD:
            raise self.endless()
        return line

    def next_record(self) -> int:
        """Begin to count anew; returns the line that the next record begins in."""
        self._taken, self._begins = 0, self.number + 1
        return self._begins

    def endless(self) -> Unreadable:
        detail = (
            f"The record that begins in line {self._begins} is longer than {LONGEST_RECORD} characters. "
            "Is there a quote that is never closed, or a line without end?"
        )
        return Unreadable(detail, code="record_too_long")

    def _split(self, texts: Iterable[str]) -> Iterator[str]:
        rest = ""
        for text in texts:
            if "\0" in text:
                detail = f"The file holds the character U+0000 after line {self.number}; it is no text."
                raise Unreadable(detail, code="not_text")
            whole = rest + text
            # A lone \r at the end may be half of \r\n.
            held = "\r" if whole.endswith("\r") else ""
            *lines, rest = whole[: len(whole) - len(held)].replace("\r\n", "\n").replace("\r", "\n").split("\n")
            for line in lines:
                yield f"{line}\n"
            rest += held
            if len(rest) > LONGEST_RECORD:
                raise self.endless()
        if rest := rest.rstrip("\r"):
            yield f"{rest}\n"


def records(texts: Iterable[str], delimiter: str) -> Iterator[Record]:
    """Yield each record with its number, as a spreadsheet counts: the header is 1, empty ones count and are left out.

    Raises:
        Unreadable: a quote is never closed, or something stands behind a closing one; or there are too many.
    """
    lines = _Lines(texts)
    reader, number = csv.reader(lines, delimiter=delimiter, strict=True), 0
    while True:
        number, begins = number + 1, lines.next_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _broken(error, line=begins, row=number) from None
        if number > MOST_ROWS + 1:
            raise Unreadable(f"There are more than {MOST_ROWS} rows; split the file.", code="too_many_rows")
        if any(map(str.strip, cells)):
            yield number, cells


def _broken(error: csv.Error, *, line: int, row: int) -> Unreadable:
    where = f"in the record that begins in line {line} (row {row})"
    if "unexpected end" in str(error):
        return Unreadable(f"A quote is opened and never closed, {where}.", code="quote_not_closed")
    if "expected after" in str(error):
        return Unreadable(f"Something stands between a closing quote and the delimiter, {where}.", code="bad_quote")
    return Unreadable(f"The CSV cannot be read, {where}.", code="bad_csv")


def said(cell: str) -> str:
    """Return what a cell says: trimmed, and without the apostrophe that keeps a spreadsheet from computing it."""
    return unguarded(cell.strip()).strip()


def header_of(record: Record | None) -> list[str]:
    """Return the names of the columns.

    Raises:
        Unreadable: there are none, or too many.
    """
    if record is None:
        raise Unreadable("The file is empty.", code="empty_file")
    names = _names(record[1])
    if len(names) > MOST_COLUMNS:
        raise Unreadable(f"There are {len(names)} columns; {MOST_COLUMNS} are the most.", code="too_many_columns")
    return names


def _names(cells: Iterable[str]) -> list[str]:
    return [said(cell.strip().removeprefix("\ufeff")) for cell in cells]


def sniff(texts: Iterable[str], wanted: Collection[str]) -> str:
    """Return the delimiter under which most wanted columns are found; else the one that makes the same most often."""
    head = list(islice(_lines_of(texts), _SAMPLE_RECORDS))
    return max(DELIMITERS, key=lambda delimiter: _merit(head, delimiter, wanted))


def _lines_of(texts: Iterable[str]) -> Iterator[str]:
    lines = _Lines(texts)
    for line in lines:
        yield line
        lines.next_record()


def _merit(head: Sequence[str], delimiter: str, wanted: Collection[str]) -> tuple[int, int, int]:
    """Return how many wanted columns there are, how many records have as many cells as the header, and how many."""
    try:
        rows = [row for row in csv.reader(head, delimiter=delimiter) if row]
    except csv.Error:
        return 0, 0, 0
    if not rows or len(rows[0]) == 1:
        return len({*_names(rows[0])} & set(wanted)) if rows else 0, 0, 0
    named = {*_names(rows[0])}
    return len(named & set(wanted)), Counter(map(len, rows))[len(rows[0])], len(rows[0])
