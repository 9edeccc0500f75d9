"""Deliveries as CSV: RFC 4180, a row a delivery, batch by batch, so that a million take no more room than a page.

The columns are what a delivery says, flattened. A cell that a spreadsheet would take for a formula has an apostrophe in
front (OWASP, "CSV Injection"), a telephone number too. unguarded() takes it off again, and gives what was there.
"""

import csv
import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from threading import BoundedSemaphore
from typing import Any

from flask import Flask, Response, current_app, g
from sqlalchemy import Row

from delivery.deliveries import listing
from delivery.deliveries.ordering import ORDERS
from delivery.errors import Unavailable

log = logging.getLogger(__name__)

BATCH = 1000
_PLACES = "delivery.exports"
# What a spreadsheet computes; the wide forms are those of East Asian keyboards.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_GUARDED = re.compile(f"'{_FORMULA.pattern}")
_SPECIAL, _ESCAPED = re.compile(r"[\\;,|]"), re.compile(r"\\([\\;,|])")
_TAG = re.compile(r"(?:\\[\\;,|]|[^;,|])+")
_ADDRESS = ("line1", "line2", "city", "region", "postcode", "country", "lat", "lng", "notes")
_PLAIN = ("id", "tracking_number", "status", "owner_id", "courier_id", "reference", "item_name", "description")
_RECIPIENT = ("recipient_name", "recipient_email", "recipient_phone", "recipient_locale")
_TIMES = ("window_earliest", "window_latest")
_CLOSING = ("created_at", "updated_at", "picked_up_at")
# Columns of JSON, and what of each is a column here.
_NESTED = {
    "destination": _ADDRESS,
    "pickup": _ADDRESS,
    "package": ("weight_grams", "pieces", "length_mm", "width_mm", "height_mm"),
    "requirements": ("photo", "signature", "pin"),
}
HEADER = (
    *_PLAIN,
    *_RECIPIENT,
    *(f"{outer}_{inner}" for outer, names in _NESTED.items() for inner in names),
    *_TIMES,
    "tags",
    "version",
    *_CLOSING,
)


def batches(seen: listing.Seen, *, sort: str, filters: dict[str, Any]) -> Iterator[Sequence[Row[Any]]]:
    """Yield all deliveries of a list; each batch is a statement of its own, and holds nothing once it is read.

    So nobody who reads slowly keeps a connection, or rows that are dead from being cleared away. What changes meanwhile
    is shown as it is when its batch is read.
    """
    after: tuple[Any, ...] | None = None
    while True:
        rows = listing.deliveries(seen, sort=sort, after=after, limit=BATCH, filters=filters)
        yield rows
        if len(rows) < BATCH:
            return
        after = ORDERS[sort].place_of(rows[-1])


def download(found: Iterator[Sequence[Row[Any]]]) -> Response:
    """Answer with all of them as they are read; the first batch is read before, so that what is wrong is a problem.

    Each takes a thread for as long as its reader takes: half of them are left to others.

    Raises:
        Unavailable: too many are under way in this process.
    """
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # the docs' own way
    places = app.extensions.setdefault(_PLACES, BoundedSemaphore(max(1, app.config["WEB_THREADS"] // 2)))
    if not places.acquire(blocking=False):
        raise Unavailable("Too many exports are under way; try again when one has ended.", retry_after_seconds=30)
    try:
        first = next(found)
    except BaseException:
        places.release()
        raise
    response = Response(_body(app, first, found, request_id=g.request_id), content_type="text/csv; charset=utf-8")
    response.call_on_close(places.release)
    response.headers["Content-Disposition"] = "attachment; filename=deliveries.csv"
    response.headers["Cache-Control"] = "no-store"
    return response


def _body(
    app: Flask, first: Sequence[Row[Any]], rest: Iterator[Sequence[Row[Any]]], *, request_id: str
) -> Iterator[bytes]:
    """Yield the file; an error goes on to the server, which then hangs up without the last chunk (RFC 9112, 7.1)."""
    rows: Sequence[Row[Any]] | None = first
    yield header()
    while rows is not None:
        yield lines(rows)
        try:
            with app.app_context():  # of its own: its connection goes back before anything is sent
                rows = next(rest, None)
        except Exception as error:
            log.exception("an export broke off", extra={"request_id": request_id, "error_class": type(error).__name__})
            raise


def header() -> bytes:
    """Return the first line."""
    return _lines([HEADER])


def lines(rows: Iterable[Row[Any]]) -> bytes:
    """Return the lines of some deliveries."""
    return _lines(map(_cells, rows))


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cells(row: Row[Any]) -> list[str]:
    named = row._mapping  # noqa: SLF001  # SQLAlchemy's own name for it, and public
    plain = [named[name] for name in (*_PLAIN, *_RECIPIENT)]
    nested = [(named[outer] or {}).get(inner) for outer, names in _NESTED.items() for inner in names]
    rest = [*(named[name] for name in _TIMES), _joined(row.tags or ()), row.version]
    return [_cell(value) for value in (*plain, *nested, *rest, *(named[name] for name in _CLOSING))]


def _joined(tags: Iterable[str]) -> str:
    """Return tags with semicolons between; what split() heeds inside a tag has a backslash in front."""
    return ";".join(_SPECIAL.sub(r"\\\g<0>", tag) for tag in sorted(tags))


def split(cell: str) -> list[str]:
    """Return the tags of a cell, between commas, semicolons or bars; with a backslash in front these are letters."""
    words = (_ESCAPED.sub(r"\1", word.strip()) for word in _TAG.findall(cell))
    return [word for word in words if word]


def guarded(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """Return the text that guarded() made a cell of."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return guarded(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).replace("+00:00", "Z")
    return str(value)
