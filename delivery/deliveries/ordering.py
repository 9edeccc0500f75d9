"""The orders of lists, and where a page of one begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Uuid, and_, tuple_
from sqlalchemy.sql.expression import BindParameter, bindparam

from delivery.deliveries import searching
from delivery.deliveries.models import Delivery

_ID, _UPDATED = (Delivery.__table__.c[name] for name in ("id", "updated_at"))
_IS_WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Order:
    """By when deliveries were created, which is the order of their ids, or last changed; or the other way round."""

    by_age: bool
    descending: bool

    @property
    def keys(self) -> list[Column[Any]]:
        """The columns that tell one delivery's place from every other's."""
        return [_ID] if self.by_age else [_UPDATED, _ID]

    def by(self, keys: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        """Return what a query is ordered by."""
        return [key.desc() if self.descending else key.asc() for key in keys]

    def continued(self) -> ColumnElement[bool]:
        """Return the condition of what comes after the position of the parameters `after_0`, `after_1`."""
        row = tuple_(*self.keys)
        place = tuple_(*(bindparam(f"after_{number}", type_=key.type) for number, key in enumerate(self.keys)))
        beyond: ColumnElement[bool] = row < place if self.descending else row > place
        return beyond

    def position(self, place: Sequence[Any]) -> dict[str, Any]:
        """Return these parameters, for the place of place_of()."""
        return {f"after_{number}": value for number, value in enumerate(place)}

    def edges(self, asked: Mapping[str, Any]) -> dict[str, UUID]:
        """Return the parameters `above` and `below`, between which all ids of a page are."""
        above, below = [asked.get("created_after_id")], [asked.get("created_before_id")]
        if self.by_age:
            (below if self.descending else above).append(asked.get("after_0"))
        return {
            "above": max((one for one in above if one), default=UUID(int=0)),
            "below": min((one for one in below if one), default=UUID(int=2**128 - 1)),
        }

    def place_of(self, row: Any) -> tuple[Any, ...]:
        """Return where a row stands."""
        return (row.id,) if self.by_age else (row.updated_at, row.id)

    def position_of(self, row: Any, *, q: str | None) -> tuple[Any, ...]:
        """Return where a row stands, for a cursor; and that `q` is the whole of it, if it is."""
        *times, last_id = self.place_of(row)
        words = searching.whole(q) if q else None
        is_whole = words is not None and (row.tracking_number == words["number"] or row.reference == words["q"])
        return (*(time.isoformat() for time in times), last_id, *([_IS_WHOLE] if is_whole else []))


ORDERS = {
    "-created_at": Order(by_age=True, descending=True),
    "created_at": Order(by_age=True, descending=False),
    "-updated_at": Order(by_age=False, descending=True),
    "updated_at": Order(by_age=False, descending=False),
}
NEWEST_FIRST = ORDERS["-created_at"]


def position(written: Sequence[str]) -> tuple[tuple[Any, ...], bool]:
    """Return the position that position_of() wrote into a cursor, and whether `q` was the whole of what is there."""
    *times, last_id = (one for one in written if one != _IS_WHOLE)
    return (*map(datetime.fromisoformat, times), UUID(last_id)), _IS_WHOLE in written


def in_index(columns: Mapping[Column[Any], BindParameter[Any]]) -> ColumnElement[bool]:
    """Return a condition of equal columns and of ids between the edges, that no index but that of all of them serves.

    Where a list is ordered by these columns, too, PostgreSQL takes that index. Asked for by `=` it would not sort by
    them, and may pass the index for one of the ids: it does not know that the newest are in other states than most.
    """
    row = tuple_(*columns, _ID)
    above, below = (tuple_(*columns.values(), bindparam(name, type_=Uuid)) for name in ("above", "below"))
    return and_(row > above, row < below)
