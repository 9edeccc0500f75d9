"""Making deliveries of a batch of rows, and dealing with those whose reference is there already."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, String, func, select
from sqlalchemy import Row as DeliveryRow
from sqlalchemy.sql.expression import bindparam

from delivery.database import backend, db
from delivery.deliveries import services
from delivery.deliveries.access import Permit
from delivery.deliveries.creating import create_many
from delivery.deliveries.models import Delivery
from delivery.deliveries.queries import COLUMNS
from delivery.deliveries.states import TERMINAL
from delivery.errors import AppError
from delivery.imports.mapping import Row, column_of
from delivery.imports.states import OnDuplicate
from delivery.web import ANY_VERSION, Caller

_d = Delivery.__table__.c
# Objects of the API that are columns of the table.
_SPREAD = frozenset({"recipient", "window"})
# On PostgreSQL one parameter for all: it takes longer to read a statement with one for each than to run it.
_WITH_REFERENCES = {
    name: select(*COLUMNS).where(_d.owner_id == bindparam("owner_id"), same, ~_d.test, _d.deleted_at.is_(None))
    for name, same in (
        ("postgresql", _d.reference == func.any(bindparam("references", type_=ARRAY(String)))),
        ("sqlite", _d.reference.in_(bindparam("references", expanding=True))),
    )
}


class LostRace(Exception):
    """Somebody changed what we were about to: the batch is done again, and finds it as it is then."""


@dataclass(slots=True)
class Made:
    """What came of a batch of rows."""

    created: int = 0
    updated: int = 0
    skipped: int = 0
    bad: list[Row] = field(default_factory=list)


def make(by: Caller, rows: Sequence[Row], asked: Any, *, seen: set[int]) -> Made:
    """Make what rows say, in the caller's transaction; `asked` is their import.

    A dry run makes nothing, and says the same; `seen` are its file's references so far.

    Raises:
        LostRace: a delivery with one of the references came or went at this moment.
    """
    made = Made(bad=[row for row in rows if row.values is None])
    good = [row for row in rows if row.values is not None]
    again = _tried(good, asked, made, seen) if asked.dry_run else _created(by, good, asked, made)
    if again and asked.on_duplicate == OnDuplicate.UPDATE:
        _update(by, again, asked, made)
    elif again and asked.on_duplicate == OnDuplicate.ERROR:
        made.bad += _duplicates(again, asked)
    else:
        made.skipped += len(again)
    made.bad.sort(key=lambda row: row.number)
    return made


def _created(by: Caller, rows: Sequence[Row], asked: Any, made: Made) -> list[Row]:
    """Create what is new; returns the rows whose reference is there already."""
    values = ({**(row.values or {}), "owner_id": asked.owner_id} for row in rows)
    outcomes = create_many(by, values, quiet=not asked.notify)
    again = []
    for row, outcome in zip(rows, outcomes, strict=True):
        if not isinstance(outcome, AppError):
            made.created += 1
        elif outcome.code == "duplicate_reference":
            again.append(row)
        elif outcome.code == "lost_race":
            raise LostRace
        else:
            message = outcome.errors[0]["message"] if outcome.errors else outcome.detail
            made.bad.append(_refused(row, outcome.code, message))
    return again


def _duplicates(rows: Sequence[Row], asked: Any) -> Iterator[Row]:
    """Yield rows as refused, each with who has its reference."""
    there = _there(rows, asked.owner_id)
    column = _reference_column(asked)
    for row in rows:
        existing = there.get(row.reference or "")
        if existing is None and not asked.dry_run:
            raise LostRace
        if existing is None:
            message = "A row before it has this reference, too."
        elif existing.created_at >= asked.created_at:
            number = existing.tracking_number
            message = f"The delivery {number} has this reference; a row before it made it, or somebody else meanwhile."
        else:
            message = f"The delivery {existing.tracking_number} has this reference already."
        yield _refused(row, "duplicate_reference", message, column=column, field="reference")


def _reference_column(asked: Any) -> str | None:
    return column_of("reference", asked.header, asked.settings["mapping"])


def _tried(rows: Sequence[Row], asked: Any, made: Made, seen: set[int]) -> list[Row]:
    """Count what would be new; returns the rows whose reference is there already, or stood in the file before."""
    there = _there(rows, asked.owner_id)
    again = [row for row in rows if row.reference and (row.reference in there or hash(row.reference) in seen)]
    made.created += len(rows) - len(again)
    seen.update(hash(row.reference) for row in rows if row.reference)
    return again


def _there(rows: Iterable[Row], owner_id: UUID) -> Mapping[str, DeliveryRow[Any]]:
    references = [row.reference for row in rows if row.reference]
    found = db.session.execute(_WITH_REFERENCES[backend()], {"owner_id": owner_id, "references": references})
    return {row.reference: row for row in found}


def _update(by: Caller, rows: Sequence[Row], asked: Any, made: Made) -> None:
    there = _there(rows, asked.owner_id)
    for row in rows:
        existing = there.get(row.reference or "")
        if existing is None and not asked.dry_run:
            raise LostRace
        changes = _changes(row, existing) if existing else {}
        if not changes:
            made.skipped += 1
        elif existing and existing.status in TERMINAL:
            column = _reference_column(asked)
            made.bad.append(_refused(row, "finished", services.FINISHED, column=column, field="reference"))
        else:
            if existing and not asked.dry_run:
                services.edit(Permit(by, existing.id), expected=ANY_VERSION, quiet=not asked.notify, **changes)
            made.updated += 1


def _changes(row: Row, existing: DeliveryRow[Any]) -> dict[str, Any]:
    """Return what a row says that is not so; what it has no column for is left alone."""
    said: dict[str, Any] = {}
    for path in sorted(row.given - {"draft"}):
        top, _, rest = path.partition(".")
        column = f"{top}_{rest}" if top in _SPREAD else top
        value = (row.values or {})[column]
        if rest and column == top:  # a part of a whole that is one column
            value = {**(said.get(top) or getattr(existing, top) or value), rest: value[rest]}
        said[column] = value
    return {name: value for name, value in said.items() if not _same(value, getattr(existing, name))}


def _same(new: Any, old: Any) -> bool:
    return sorted(new) == sorted(old or []) if isinstance(new, list) else bool(new == old)


def _refused(row: Row, code: str, message: str, *, column: str | None = None, field: str | None = None) -> Row:
    error = {"column": column, "field": field, "code": code, "message": message, "suggestion": None}
    return replace(row, errors=[{**error, "value": row.reference if field else None}])
