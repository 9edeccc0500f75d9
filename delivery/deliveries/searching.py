"""What `q` finds: tracking numbers, references, recipients' names and telephone numbers, by their trigrams.

PostgreSQL keeps them in a GIN index of pg_trgm (ix_deliveries_search). SQLite keeps them in the FTS5 table
`delivery_search`, which triggers fill; `delivery_search_rows` says which delivery is which row of it. Each word must be
found: one of three characters or more anywhere, since there are trigrams for it, a shorter one where a word begins.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Executable, Row, String, and_, false, or_, text
from sqlalchemy.sql.expression import TextClause, bindparam

from delivery import replica
from delivery.database import backend, db
from delivery.deliveries.models import Delivery
from delivery.deliveries.tracking_numbers import is_number

MOST_WORDS = 10
_TRIGRAM = 3
_PHONE = re.compile(r"[+(]?[0-9][0-9 ()./-]{4,}")
_COLUMNS = (Delivery.tracking_number, Delivery.reference, Delivery.recipient_name, Delivery.recipient_phone)
_MATCHING = text(
    "deliveries.id IN (SELECT delivery_id FROM delivery_search_rows WHERE number IN"
    " (SELECT rowid FROM delivery_search WHERE delivery_search MATCH :q))"
)
_MERGE = text("INSERT INTO delivery_search (delivery_search) VALUES ('optimize')")
# Each of the ways in which one word may be written: is it too short to have a trigram?
Shape = tuple[tuple[bool, ...], ...]


def words_of(q: str) -> list[tuple[str, ...]]:
    """Return what must be found, each in one of the ways in which it may be written; mere punctuation need not be."""
    number = q.upper().replace("-", "").replace(" ", "")
    if is_number(number):
        return [(number,)]
    q = q.replace("(0)", " ")  # of +44 (0)20: only who calls from within dials it
    if _PHONE.fullmatch(q):
        return [_different(q, "".join(filter(str.isdigit, q)).lstrip("0"))]
    return [_different(word, "".join(filter(str.isalnum, word))) for word in q.split() if any(map(str.isalnum, word))]


def _different(written: str, bare: str) -> tuple[str, ...]:
    return (written, bare) if bare != written and len(bare) >= _TRIGRAM else (written,)


def shape_of(words: Sequence[tuple[str, ...]]) -> Shape:
    """Return what the statement of a search depends on."""
    return tuple(tuple(len(way) < _TRIGRAM for way in word) for word in words)


def condition(shape: Shape, *, on: str) -> ColumnElement[bool] | TextClause:
    """Return what a delivery that is found meets, on this kind of database; its parameters are those of values()."""
    if not shape:
        return false()
    if on == "sqlite":
        return _MATCHING
    return and_(*(_found(f"q_{place}", word) for place, word in enumerate(shape)))


def _found(name: str, word: tuple[bool, ...]) -> ColumnElement[bool]:
    names = [f"{name}_{way}_" for way in range(len(word))]
    names += [f"{one}later" for one, short in zip(names, word, strict=True) if short]
    return or_(*(column.ilike(bindparam(one, type_=String())) for one in names for column in _COLUMNS))


def values(words: Sequence[tuple[str, ...]], *, on: str) -> dict[str, str]:
    """Return the parameters of condition()."""
    if on == "sqlite":
        return {"q": " AND ".join(f"({' OR '.join(map(_phrase, word))})" for word in words)} if words else {}
    ways = [(f"q_{place}_{way}_", text) for place, word in enumerate(words) for way, text in enumerate(word)]
    return {name: value for key, text in ways for name, value in _patterns(key, text)}


def _phrase(text: str) -> str:
    """Quote for FTS5; triggers put two blanks before each word, so that its first character has a trigram, too."""
    begun = text if len(text) >= _TRIGRAM else f"  {text}"
    return '"{}"'.format(begun.replace('"', '""'))


def _patterns(key: str, text: str) -> list[tuple[str, str]]:
    literal = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if len(text) >= _TRIGRAM:
        return [(key, f"%{literal}%")]
    return [(key, f"{literal}%"), (f"{key}later", f"% {literal}%")]


def whole(q: str) -> dict[str, str] | None:
    """Return what `q` may be as a whole tracking number or reference; None: it may as well be part of something else.

    Names have no digits, and telephone numbers no letters.
    """
    if not (any(map(str.isalpha, q)) and any(map(str.isdigit, q))):
        return None
    return {"number": q.upper().replace("-", "").replace(" ", ""), "q": q}


def rows(query: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """Run a search, planned for what is looked for.

    psycopg would prepare it when it comes again, and PostgreSQL keep one plan for what is rare and what is everywhere:
    at a million deliveries 600 ms instead of 4.
    """
    return replica.read(lambda connection: _unprepared(connection, query, parameters))


def _unprepared(connection: Connection, query: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return connection.execute(query, parameters).all()
    before, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        return connection.execute(query, parameters).all()
    finally:
        driver.prepare_threshold = before


def forget_deleted() -> None:
    """Take what has been changed or deleted out of SQLite's index; until it is merged it stays in older parts of it."""
    if backend() == "sqlite":
        db.session.execute(_MERGE)
