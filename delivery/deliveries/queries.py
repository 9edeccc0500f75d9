"""Lists, filters and timelines; they write nothing."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    and_,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import BindParameter, FunctionElement, bindparam

from delivery import clock, replica
from delivery.database import Json, backend, now, oldest_id, reader
from delivery.deliveries import searching
from delivery.deliveries.models import OPEN, Delivery, DeliveryEvent, DeliveryEventDetail, Tag, delivery_tags
from delivery.deliveries.states import TERMINAL
from delivery.notifications.preferences import NotificationPreference


class _json_list(FunctionElement[list[str]]):  # noqa: N801  # reads as the SQL function that it is
    """All values of a group, as a JSON array."""

    type = Json  # type: ignore[assignment]  # a list of strings, as JSON
    inherit_cache = True


@compiles(_json_list, "postgresql")
def _postgresql_json_list(element: _json_list, compiler: SQLCompiler, **options: Any) -> str:
    return f"jsonb_agg({compiler.process(element.clauses, **options)})"


@compiles(_json_list, "sqlite")
def _sqlite_json_list(element: _json_list, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **options)})"


def _tags_of(delivery_id: InstrumentedAttribute[UUID]) -> ScalarSelect[list[str]]:
    """Return a delivery's tags with its own row: no second statement, no N+1."""
    joined = delivery_tags.join(Tag.__table__, Tag.id == delivery_tags.c.tag_id)
    return (
        select(_json_list(Tag.name))
        .select_from(joined)
        .where(delivery_tags.c.delivery_id == delivery_id)
        .scalar_subquery()
    )


# What an answer shows; `deleted_at` is for access.py.
COLUMNS: tuple[ColumnElement[Any], ...] = (*Delivery.__table__.columns, _tags_of(Delivery.id).label("tags"))
_DELIVERIES = select(*COLUMNS)
DELIVERY_BY_ID = _DELIVERIES.where(Delivery.id == bindparam("id"))
_BY_IDS = _DELIVERIES.where(Delivery.id.in_(bindparam("ids", expanding=True)))
# Read by the statement that writes a delivery: what its owner wants to hear of costs a probe, no statement of its own.
# A literal: SQLAlchemy correlates what UPDATE returns, but not what INSERT returns.
OWNER_SWITCHES = (
    select(NotificationPreference.cells)
    .where(NotificationPreference.user_id == literal_column("deliveries.owner_id"))
    .scalar_subquery()
    .label("owner_switches")
)
_ALIVE = Delivery.deleted_at.is_(None)
_NEWEST_FIRST = "-created_at"
SORTS = {
    _NEWEST_FIRST: (Delivery.id, True),
    "created_at": (Delivery.id, False),
    "-updated_at": (Delivery.updated_at, True),
    "updated_at": (Delivery.updated_at, False),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The deliveries that somebody sees.

    Attributes:
        condition: what they meet; its parameter is `caller_id`.
        owner_id: whose they are; None: not one owner's.
        test: whether they are tests.
        by_owner: whether these two tell all of it.
    """

    condition: ColumnElement[bool]
    caller_id: UUID | None
    owner_id: UUID | None
    test: bool
    by_owner: bool


def deliveries(
    seen: Seen, *, sort: str, after: Sequence[Any] | None, limit: int, filters: dict[str, Any], whole: bool = False
) -> Sequence[Row[Any]]:
    """Return a page of the deliveries that somebody sees.

    Args:
        seen: that of access.seen_by().
        sort: a key of SORTS.
        after: the position to begin after: (id,) or (updated_at, id).
        limit: how many rows at the most.
        filters: the arguments of schemas.DeliveryArgs; None or empty means any.
        whole: the page before was of what has `q` as its whole number or reference.
    """
    given = {
        _meant(name, value): value for name, value in filters.items() if name in _FILTERS and value not in (None, [])
    }
    states = {f"state_{place}": state for place, state in enumerate(sorted(set(filters.get("status") or ())))}
    position = {f"after_{place}": value for place, value in enumerate(after or ())}
    asked = {**given, **states, **_bounds(given), **position, "caller_id": seen.caller_id, "limit": limit}
    page = partial(_page, seen.condition, sort=sort, continued=bool(after), names=frozenset(given), states=len(states))
    if not filters.get("q"):
        return replica.rows(page(), asked)
    words = searching.whole(filters["q"])
    if words and (whole or not after):  # by indexes that are flat at any size
        found = replica.rows(page(whole=True), asked | words)
        if found or whole:
            return found
    if not seen.by_owner or sort != _NEWEST_FIRST or states or given.keys() - {"owner_id"}:
        return _found(filters["q"], page, asked, newest=False)
    asked |= {
        "whose": seen.owner_id or given.get("owner_id"),
        "tests": seen.test,
        "before": asked.get("after_0"),
    }
    return _found(filters["q"], page, asked, newest=True)


def _meant(name: str, value: object) -> str:
    return f"not_{name}" if value is False else name


def _found(q: str, page: Callable[..., Select[Any]], asked: dict[str, Any], *, newest: bool) -> Sequence[Row[Any]]:
    on, words = backend(), searching.words_of(q)
    if not words:
        return []
    query, values = page(search=on, newest=newest), asked | searching.values(words, on=on)
    return replica.rows(query, values) if newest or on == "sqlite" else searching.rows(query, values)


def _bounds(given: Mapping[str, Any]) -> dict[str, UUID]:
    """Return between which ids a range of creation lies: ids are in its order, and lists are in theirs."""
    apart = _CLOCKS_APART_SECONDS
    margins = {"created_after": apart + max(0.0, clock.offset.total_seconds()), "created_before": -apart}
    return {f"{name}_id": oldest_id(given[name], minus_seconds=margins[name]) for name in margins.keys() & given.keys()}


@lru_cache(maxsize=256)  # to build and describe a statement costs as much as to run it
def _page(
    visible: ColumnElement[bool],
    *,
    sort: str,
    continued: bool,
    names: frozenset[str],
    states: int,
    whole: bool = False,
    search: str | None = None,
    newest: bool = False,
) -> Select[Any]:
    column, descending = SORTS[sort]
    keys = (column,) if column is Delivery.id else (column, Delivery.id)
    order = [key.desc() if descending else key.asc() for key in keys]
    limit: BindParameter[int] = bindparam("limit")
    conditions = [_ALIVE, visible, *(_FILTERS[name] for name in sorted(names)), *([_WHOLE] if whole else [])]
    if continued:
        conditions.append(_beyond(keys, descending=descending))

    def narrowed(query: Select[Any]) -> Select[Any]:
        query = query.where(*conditions)
        return searching.narrow(query, on=search, newest=newest) if search else query

    if not states:
        return narrowed(_DELIVERIES).order_by(*order).limit(limit)
    # The first of each state, by an index that is read alone: no index has several states in one order, and the planner
    # does not know that the newest are in other states than most.
    of_each = (Delivery.status == bindparam(f"state_{place}") for place in range(states))
    first = (narrowed(select(Delivery.id)).where(one).order_by(*order).limit(limit).subquery() for one in of_each)
    ids = union_all(*(select(one.c.id) for one in first))
    return _DELIVERIES.where(Delivery.id.in_(ids)).order_by(*order).limit(limit)


def place_of(row: Any, *, sort: str) -> tuple[Any, ...]:
    """Return where a row stands in an order."""
    return (row.id,) if SORTS[sort][0] is Delivery.id else (row.updated_at, row.id)


def position_of(row: Any, *, sort: str, q: str | None) -> tuple[Any, ...]:
    """Return where a row stands in an order, for a cursor; and that `q` is the whole of it, if it is."""
    *times, last_id = place_of(row, sort=sort)
    words = searching.whole(q) if q else None
    is_whole = words is not None and (row.tracking_number == words["number"] or row.reference == words["q"])
    return (*(time.isoformat() for time in times), last_id, *([_IS_WHOLE] if is_whole else []))


def position(written: Sequence[str]) -> tuple[tuple[Any, ...], bool]:
    """Return the position that position_of() wrote into a cursor, and whether `q` was the whole of what is there."""
    *times, last_id = (one for one in written if one != _IS_WHOLE)
    return (*map(datetime.fromisoformat, times), UUID(last_id)), _IS_WHOLE in written


def _beyond(keys: Sequence[Any], *, descending: bool) -> ColumnElement[bool]:
    position = tuple_(*(bindparam(f"after_{place}", type_=key.type) for place, key in enumerate(keys)))
    row = tuple_(*keys)
    beyond: ColumnElement[bool] = row < position if descending else row > position
    return beyond


_LATE = and_(Delivery.window_latest < now(), OPEN)  # in the index's own words, so that it is used
_CLOCKS_APART_SECONDS = 5
_IS_WHOLE = "whole"
# What each argument of a list means; its value is the parameter of the same name.
_FILTERS: dict[str, ColumnElement[bool]] = {
    "tag": Delivery.id.in_(
        select(delivery_tags.c.delivery_id)
        .join(Tag, Tag.id == delivery_tags.c.tag_id)
        .where(Tag.name.in_(bindparam("tag")))
    ),
    "courier_id": Delivery.courier_id == bindparam("courier_id"),
    "owner_id": Delivery.owner_id == bindparam("owner_id"),
    "reference": Delivery.reference == bindparam("reference"),
    "created_after": and_(
        Delivery.created_at >= bindparam("created_after"), Delivery.id >= bindparam("created_after_id")
    ),
    "created_before": and_(
        Delivery.created_at < bindparam("created_before"), Delivery.id < bindparam("created_before_id")
    ),
    "updated_after": Delivery.updated_at >= bindparam("updated_after"),
    "updated_before": Delivery.updated_at < bindparam("updated_before"),
    "window_after": Delivery.window_latest >= bindparam("window_after"),
    "window_before": Delivery.window_earliest < bindparam("window_before"),
    "unassigned": Delivery.courier_id.is_(None),
    "not_unassigned": Delivery.courier_id.is_not(None),
    "late": _LATE,
    "not_late": ~func.coalesce(_LATE, false()),
}
_WHOLE = or_(Delivery.tracking_number == bindparam("number"), Delivery.reference == bindparam("q"))
_TIMELINE: Select[Any] = (
    select(
        *DeliveryEvent.__table__.columns,
        DeliveryEventDetail.note,
        DeliveryEventDetail.public_note,
        DeliveryEventDetail.lat,
        DeliveryEventDetail.lng,
    )
    .join_from(
        DeliveryEvent,
        DeliveryEventDetail,
        and_(
            DeliveryEventDetail.delivery_id == DeliveryEvent.delivery_id,
            DeliveryEventDetail.seq == DeliveryEvent.seq,
        ),
        isouter=True,
    )
    .where(DeliveryEvent.delivery_id == bindparam("delivery_id"), DeliveryEvent.seq > bindparam("after"))
    .order_by(DeliveryEvent.seq)
    .limit(bindparam("limit"))
)


def timeline(delivery_id: UUID, *, after: int, limit: int) -> Sequence[Row[Any]]:
    """Return a delivery's history in order, beginning after a seq."""
    return replica.rows(_TIMELINE, {"delivery_id": delivery_id, "after": after, "limit": limit})


def stuck(*, for_hours: float, limit: int) -> Sequence[Row[Any]]:
    """Return open deliveries that nobody has touched for so many hours, the longest first."""
    untouched = Delivery.updated_at < clock.now() - timedelta(hours=for_hours)
    query = _DELIVERIES.where(_ALIVE, untouched, ~Delivery.test, Delivery.status.not_in(sorted(TERMINAL | {"draft"})))
    return reader().execute(query.order_by(Delivery.updated_at).limit(limit)).all()


def by_ids(ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """Return those of these deliveries that exist, by their ids; the deleted ones, too."""
    return {row.id: row for row in reader().execute(_BY_IDS, {"ids": list(ids)})}


def by_number(number: str) -> UUID | None:
    """Return the id of the delivery with this tracking number."""
    query = select(Delivery.id).where(Delivery.tracking_number == number.upper().replace("-", ""))
    return reader().execute(query).scalar_one_or_none()
