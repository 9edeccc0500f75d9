"""What is read of deliveries, and their timelines; pages of lists are in listing.py."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, and_, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement, bindparam

from delivery import clock, replica
from delivery.database import Json, reader
from delivery.deliveries.models import Delivery, DeliveryEvent, DeliveryEventDetail, Tag, delivery_tags
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
DELIVERIES = select(*COLUMNS)
DELIVERY_BY_ID = DELIVERIES.where(Delivery.id == bindparam("id"))
_BY_IDS = DELIVERIES.where(Delivery.id.in_(bindparam("ids", expanding=True)))
# Read by the statement that writes a delivery: what its owner wants to hear of costs a probe, no statement of its own.
# A literal: SQLAlchemy correlates what UPDATE returns, but not what INSERT returns.
OWNER_SWITCHES = (
    select(NotificationPreference.cells)
    .where(NotificationPreference.user_id == literal_column("deliveries.owner_id"))
    .scalar_subquery()
    .label("owner_switches")
)
ALIVE = Delivery.deleted_at.is_(None)
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
    query = DELIVERIES.where(ALIVE, untouched, ~Delivery.test, Delivery.status.not_in(sorted(TERMINAL | {"draft"})))
    return reader().execute(query.order_by(Delivery.updated_at).limit(limit)).all()


def by_ids(ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """Return those of these deliveries that exist, by their ids; the deleted ones, too."""
    return {row.id: row for row in reader().execute(_BY_IDS, {"ids": list(ids)})}


def by_number(number: str) -> UUID | None:
    """Return the id of the delivery with this tracking number."""
    query = select(Delivery.id).where(Delivery.tracking_number == number.upper().replace("-", ""))
    return reader().execute(query).scalar_one_or_none()
