"""What `q` finds: tracking numbers, references, recipients' names and telephone numbers, by their parts.

Triggers keep them in `delivery_search`. PostgreSQL has a GIN index on it of all runs of four characters (grams): their
lists stay short where those of trigrams grow with the table. On SQLite it is an FTS5 table of trigrams, and
`delivery_search_rows` says which delivery is which row of it. Each word must be found: one of three characters or more
anywhere, a shorter one where a word begins.
"""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, text

from delivery.database import backend, db
from delivery.deliveries.tracking_numbers import is_number

MOST_WORDS = 10
_TRIGRAM = 3
_PHONE = re.compile(r"[+(]?[0-9][0-9 ()./-]{4,}")
MATCHING: ColumnElement[bool] = text(  # type: ignore[assignment]  # a condition like another
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


def values(words: Sequence[tuple[str, ...]], *, on: str) -> dict[str, Any]:
    """Return the parameters of a search's words on this kind of database."""
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


def forget_deleted() -> None:
    """Take what has been changed or deleted out of SQLite's index; until it is merged it stays in older parts of it."""
    if backend() == "sqlite":
        db.session.execute(_MERGE)
