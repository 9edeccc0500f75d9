"""Making deliveries of a batch of rows, and dealing with those whose reference is there already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row as DeliveryRow
from sqlalchemy import select
from sqlalchemy.sql.expression import bindparam

from delivery.database import db
from delivery.deliveries import services
from delivery.deliveries.access import Permit
from delivery.deliveries.creating import create_many
from delivery.deliveries.models import Delivery
from delivery.deliveries.queries import COLUMNS
from delivery.deliveries.states import TERMINAL
from delivery.errors import AppError
from delivery.imports.mapping import Row
from delivery.imports.states import OnDuplicate
from delivery.web import Caller, Expected

_d = Delivery.__table__.c
_SAME = select(*COLUMNS).where(
    _d.owner_id == bindparam("owner_id"),
    _d.reference.in_(bindparam("references", expanding=True)),
    _d.deleted_at.is_(None),
)
_ANY = Expected(None)
# Objects of the API that are columns of the table.
_SPREAD = frozenset({"recipient", "window"})


class LostRace(Exception):
    """Somebody took a reference at this moment: the batch is done again, and finds it."""


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
    """
    made, new = Made(), []
    there = _there(rows, asked.owner_id)
    for row in rows:
        existing = there.get(row.reference) if row.reference else None
        again = asked.dry_run and row.reference is not None and hash(row.reference) in seen
        if row.values is None:
            made.bad.append(row)
        elif existing is None and not again:
            new.append(row)
        else:
            _again(by, row, existing, asked, made)
    _create(by, new, asked, made)
    if asked.dry_run:
        seen.update(hash(row.reference) for row in rows if row.reference)
    return made


def _there(rows: Sequence[Row], owner_id: UUID) -> Mapping[str | None, DeliveryRow[Any]]:
    references = [row.reference for row in rows if row.reference]
    if not references:
        return {}
    found = db.session.execute(_SAME, {"owner_id": owner_id, "references": references})
    return {row.reference: row for row in found}


def _create(by: Caller, rows: Sequence[Row], asked: Any, made: Made) -> None:
    """Make what is new.

    Raises:
        LostRace: somebody else took a reference since it was looked for.
    """
    if asked.dry_run:
        made.created += len(rows)
        return
    values = [{**(row.values or {}), "owner_id": asked.owner_id} for row in rows]
    for row, outcome in zip(rows, create_many(by, values, quiet=not asked.notify), strict=True):
        if not isinstance(outcome, AppError):
            made.created += 1
        elif outcome.code in {"duplicate_reference", "lost_race"}:
            raise LostRace
        else:
            made.bad.append(_refused(row, outcome.code, outcome.detail))


def _again(by: Caller, row: Row, existing: DeliveryRow[Any] | None, asked: Any, made: Made) -> None:
    if asked.on_duplicate == OnDuplicate.SKIP:
        made.skipped += 1
    elif asked.on_duplicate == OnDuplicate.ERROR:
        made.bad.append(_refused(row, "duplicate_reference", "The owner has a delivery with this reference already."))
    elif existing is None or not (changes := _changes(row, existing)):
        made.skipped += 1
    elif existing.status in TERMINAL:
        made.bad.append(_refused(row, "finished", "A finished delivery cannot be edited."))
    else:
        if not asked.dry_run:
            services.edit(Permit(by, existing.id), expected=_ANY, quiet=not asked.notify, **changes)
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


def _refused(row: Row, code: str, message: str) -> Row:
    error = {"column": None, "field": "reference", "code": code, "message": message, "suggestion": None}
    return replace(row, errors=[{**error, "value": row.reference}])
