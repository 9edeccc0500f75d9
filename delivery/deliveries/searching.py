"""What `q` finds: tracking numbers, references, recipients' names and telephone numbers, by their parts.

Triggers keep them in `delivery_search`. PostgreSQL has a GIN index on it of all runs of four characters (grams): their
lists stay short where those of trigrams grow with the table. On SQLite it is an FTS5 table of trigrams, and
`delivery_search_rows` says which delivery is which row of it. Each word must be found: one of three characters or more
anywhere, a shorter one where a word begins.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Row, Select, text

from delivery import replica
from delivery.database import backend, db
from delivery.deliveries.tracking_numbers import is_number

MOST_WORDS = 10
_TRIGRAM = 3
_PHONE = re.compile(r"[+(]?[0-9][0-9 ()./-]{4,}")
# What is written as CASE the planner takes for true of every other row, which the grams have seen to.
_FOUND = text(
    "deliveries.id IN (SELECT delivery_id FROM delivery_search"
    " WHERE delivery_search_grams(delivery_id, owner_id, test, words) @@ delivery_search_query(CAST(:sought AS text[]))"
    " AND CASE WHEN words ~ ALL (ARRAY(SELECT lower(one) FROM unnest(CAST(:patterns AS text[])) one))"
    " THEN true ELSE false END)"
)
# As an array it is read once; a plan may call for the rows of an IN again and again.
_NEWEST = text(
    "deliveries.id = ANY (ARRAY(SELECT delivery_search_newest(delivery_search_query(CAST(:sought AS text[])),"
    " ARRAY(SELECT lower(one) FROM unnest(CAST(:patterns AS text[])) one), CAST(:whose AS uuid), :tests,"
    " CAST(:before AS uuid), CAST(:limit AS integer))))"
)
_MATCHING = text(
    "deliveries.id IN (SELECT delivery_id FROM delivery_search_rows WHERE number IN"
    " (SELECT rowid FROM delivery_search WHERE delivery_search MATCH :q))"
)
_MERGE = text("INSERT INTO delivery_search (delivery_search) VALUES ('optimize')")


def words_of(q: str) -> list[tuple[str, ...]]:
    """Return what must be found, each in one of the ways in which it may be written; mere punctuation need not be."""
    q = " ".join(q.split())  # what is copied may have blanks that do not break
    number = q.upper().replace("-", "").replace(" ", "")
    if is_number(number):
        return [(number,)]
    if _PHONE.fullmatch(q):
        dialled = q.replace("(0)", "")  # of +44 (0)20: only who calls from within dials it
        return [_different(q, "".join(filter(str.isdigit, dialled)).lstrip("0"))]
    return [_different(word, "".join(filter(str.isalnum, word))) for word in q.split() if any(map(str.isalnum, word))]


def _different(written: str, bare: str) -> tuple[str, ...]:
    return (written, bare) if bare != written and len(bare) >= _TRIGRAM else (written,)


def narrow(query: Select[Any], *, on: str, newest: bool) -> Select[Any]:
    """Leave of a list what is found, on this kind of database; the parameters are those of values().

    Args:
        newest: find only as many of the newest as are asked for, of all that the caller sees: on PostgreSQL that is as
            quick for a million deliveries as for a thousand. Else the planner decides where it begins.
    """
    if on == "sqlite":
        return query.where(_MATCHING)
    return query.where(_NEWEST if newest else _FOUND)


def values(words: Sequence[tuple[str, ...]], *, on: str) -> dict[str, Any]:
    """Return the parameters of a search's words."""
    if on == "sqlite":
        return {"q": " AND ".join(f"({' OR '.join(map(_phrase, word))})" for word in words)}
    return {
        "sought": ["\n".join(word) for word in words],
        "patterns": ["|".join(map(_pattern, word)) for word in words],
    }


def _pattern(text: str) -> str:
    """Return what finds it in the words of a row, each of which has a blank before it."""
    return re.escape(text if len(text) >= _TRIGRAM else f" {text}")


def _phrase(text: str) -> str:
    """Quote for FTS5; triggers put two blanks before each word, so that its first character has a trigram, too."""
    begun = (text if len(text) >= _TRIGRAM else f" {text}").replace(" ", "  ")
    return '"{}"'.format(begun.replace('"', '""'))


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
