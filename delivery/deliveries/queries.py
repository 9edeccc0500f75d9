"""Lists, filters and timelines; they write nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, and_, func, or_, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement, bindparam

from delivery import clock
from delivery.database import Json, reader
from delivery.deliveries.models import Delivery, DeliveryEvent, DeliveryEventDetail, Tag, delivery_tags
from delivery.deliveries.states import TERMINAL


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
DELIVERY_BY_ID = select(*COLUMNS).where(Delivery.id == bindparam("id"))
_ALIVE = select(*COLUMNS).where(Delivery.deleted_at.is_(None))
SORTS = {
    "-created_at": (Delivery.id, True),
    "created_at": (Delivery.id, False),
    "-updated_at": (Delivery.updated_at, True),
    "updated_at": (Delivery.updated_at, False),
}


def deliveries(
    visible: ColumnElement[bool], *, sort: str, after: Sequence[Any] | None, limit: int, filters: dict[str, Any]
) -> Sequence[Row[Any]]:
    """Return a page of the deliveries that somebody sees.

    Args:
        visible: the condition of access.visible_to().
        sort: a key of SORTS.
        after: the position to begin after: (id,) or (updated_at, id).
        limit: how many rows at the most.
        filters: the arguments of schemas.DeliveryArgs; None or empty means any.
    """
    column, descending = SORTS[sort]
    keys = (column,) if column is Delivery.id else (column, Delivery.id)
    query = _ALIVE.where(visible, *_conditions(filters))
    if after:
        query = query.where(_beyond(keys, after, descending=descending))
    order = [key.desc() if descending else key.asc() for key in keys]
    return reader().execute(query.order_by(*order).limit(limit)).all()


def position_of(row: Any, *, sort: str) -> tuple[Any, ...]:
    """Return where a row stands in an order, for a cursor."""
    return (row.id,) if SORTS[sort][0] is Delivery.id else (row.updated_at.isoformat(), row.id)


def position(written: Sequence[str]) -> tuple[Any, ...]:
    """Return the position that position_of() wrote into a cursor."""
    *times, last_id = written
    return (*map(datetime.fromisoformat, times), UUID(last_id))


def _beyond(keys: Sequence[Any], position: Sequence[Any], *, descending: bool) -> ColumnElement[bool]:
    typed = tuple_(*(bindparam(None, value, type_=key.type) for key, value in zip(keys, position, strict=True)))
    row = tuple_(*keys)
    beyond: ColumnElement[bool] = row < typed if descending else row > typed
    return beyond


def _conditions(filters: dict[str, Any]) -> list[ColumnElement[bool]]:
    conditions = [build(value) for name, build in _FILTERS.items() if (value := filters.get(name))]
    if filters.get("tag"):
        conditions.append(_has_any_tag(filters["tag"]))
    return conditions


def _has_any_tag(names: Sequence[str]) -> ColumnElement[bool]:
    tagged = select(delivery_tags.c.delivery_id).join(Tag, Tag.id == delivery_tags.c.tag_id).where(Tag.name.in_(names))
    return Delivery.id.in_(tagged)


def _matching(q: str) -> ColumnElement[bool]:
    return or_(
        Delivery.tracking_number == q.upper().replace("-", ""),
        Delivery.reference == q,
        Delivery.recipient_name.icontains(q, autoescape=True),
    )


def _late(_wanted: bool) -> ColumnElement[bool]:  # noqa: FBT001  # the value of ?late=true
    return and_(Delivery.window_latest < clock.now(), Delivery.status.not_in(sorted(TERMINAL)))


_FILTERS: dict[str, Any] = {
    "status": Delivery.status.in_,
    "courier_id": lambda value: Delivery.courier_id == value,
    "owner_id": lambda value: Delivery.owner_id == value,
    "reference": lambda value: Delivery.reference == value,
    "created_after": lambda value: Delivery.created_at >= value,
    "created_before": lambda value: Delivery.created_at < value,
    "updated_after": lambda value: Delivery.updated_at >= value,
    "updated_before": lambda value: Delivery.updated_at < value,
    "window_after": lambda value: Delivery.window_latest >= value,
    "window_before": lambda value: Delivery.window_earliest < value,
    "unassigned": lambda _: Delivery.courier_id.is_(None),
    "late": _late,
    "q": _matching,
}
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
    return reader().execute(_TIMELINE, {"delivery_id": delivery_id, "after": after, "limit": limit}).all()


def stuck(*, for_hours: float, limit: int) -> Sequence[Row[Any]]:
    """Return open deliveries that nobody has touched for so many hours, the longest first."""
    untouched = Delivery.updated_at < clock.now() - timedelta(hours=for_hours)
    query = _ALIVE.where(untouched, Delivery.status.not_in(sorted(TERMINAL | {"draft"})))
    return reader().execute(query.order_by(Delivery.updated_at).limit(limit)).all()


def by_number(number: str) -> UUID | None:
    """Return the id of the delivery with this tracking number."""
    query = select(Delivery.id).where(Delivery.tracking_number == number.upper().replace("-", ""))
    found: UUID | None = reader().execute(query).scalar_one_or_none()
    return found


def count_by_status() -> dict[str, int]:
    """Return how many deliveries there are in each state."""
    query = select(Delivery.status, func.count()).where(Delivery.deleted_at.is_(None)).group_by(Delivery.status)
    return dict(reader().execute(query).tuples().all())
