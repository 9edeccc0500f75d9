"""Reads about endpoints, what was sent to them, and the feed; they write nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, and_, exists, func, select, tuple_
from sqlalchemy.sql.expression import bindparam, literal_column

from delivery import replica
from delivery.database import db, reader
from delivery.deliveries.models import Delivery, DeliveryEvent
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import OPEN, Channel
from delivery.users.models import User
from delivery.webhooks import envelopes
from delivery.webhooks.models import EVERYBODY, WebhookEndpoint

_endpoints, _users = WebhookEndpoint.__table__, User.__table__
_e, _m = _endpoints.c, OutboxMessage.__table__.c
_events, _deliveries = DeliveryEvent.__table__, Delivery.__table__
ENDPOINT_BY_ID = select(*_e).where(_e.id == bindparam("id"))
MESSAGE_BY_ID = select(OutboxMessage.__table__).where(_m.id == bindparam("id"), _m.channel == Channel.WEBHOOK)
_copies = OutboxMessage.__table__.alias("copies")
_COPY_IS_OPEN = exists().where(_copies.c.resend_of == _m.id, _copies.c.state.in_(OPEN)).label("copy_is_open")
_HISTORY = _events.join(_deliveries, _deliveries.c.id == _events.c.delivery_id)
# Who is told of events, and what of; for owners without endpoints one look into an index that finds nothing.
LISTENING = (
    select(_e.id, _e.owner_id, _e.events, *envelopes.COLUMNS)
    .select_from(
        _endpoints.join(
            _events, tuple_(_events.c.delivery_id, _events.c.seq).in_(bindparam("events", expanding=True))
        ).join(
            _deliveries,
            and_(_deliveries.c.id == _events.c.delivery_id, _e.watches.in_([_deliveries.c.owner_id, EVERYBODY])),
        )
    )
    .where(_e.watches.in_(bindparam("watches", expanding=True)), _e.status != literal_column("'disabled'"))
    .order_by(_events.c.delivery_id, _events.c.seq, _e.id)
)
# For many events this is asked first: who has no endpoint pays for this look, and not for one at each event.
ANYBODY_LISTENS = (
    select(_e.id)
    .where(_e.watches.in_(bindparam("watches", expanding=True)), _e.status != literal_column("'disabled'"))
    .limit(1)
)
# What decides, when a letter is about to go, whether and where to.
ADDRESSES = (
    select(*_e, _users.c.active.label("owner_active"), _users.c.role.label("owner_role"))
    .join(_users, _users.c.id == _e.owner_id)
    .where(_e.id.in_(bindparam("ids", expanding=True)))
)
# Events that one page of the feed looks at; who sees few of them gets short pages, and never waits long.
WINDOW = 5000
_AFTER = bindparam("after", type_=BigInteger())
_HEAD = select(func.coalesce(func.max(_events.c.position), 0))
# After a restore positions leap: the next event may be far off.
_HEAD_AND_NEXT = select(
    _HEAD.scalar_subquery().label("newest"),
    select(func.min(_events.c.position)).where(_events.c.position > _AFTER).scalar_subquery().label("next"),
)
_FEED: Select[Any] = (
    select(_events.c.position, *envelopes.COLUMNS)
    .select_from(_HISTORY)
    .where(_events.c.position > _AFTER, _events.c.position <= bindparam("end", type_=BigInteger()))
    .order_by(_events.c.position)
    .limit(bindparam("limit"))
)


def endpoints(owner_id: UUID | None, *, after: UUID | None = None, limit: int) -> Sequence[Row[Any]]:
    """Return somebody's endpoints, or everybody's, the newest first, beginning after an id."""
    query = select(*_e)
    if owner_id:
        query = query.where(_e.owner_id == owner_id)
    if after:
        query = query.where(_e.id < after)
    return reader().execute(query.order_by(_e.id.desc()).limit(limit)).all()


def sent(owner_id: UUID | None, *, after: UUID | None, limit: int, filters: dict[str, Any]) -> Sequence[Row[Any]]:
    """Return webhooks to somebody's endpoints, the newest first, beginning after an id.

    Args:
        filters: endpoint_id, state, event; None means any.
    """
    columns = {"endpoint_id": _m.recipient_id, "state": _m.state, "event": _m.event}
    chosen = [columns[name] == value for name, value in filters.items() if name in columns and value is not None]
    query = select(OutboxMessage.__table__).where(_m.owner_id == owner_id, _m.channel == Channel.WEBHOOK, *chosen)
    if after:
        query = query.where(_m.id < after)
    return reader().execute(query.order_by(_m.id.desc()).limit(limit)).all()


def head() -> int:
    """Return the position of the newest event in the feed."""
    position: int = reader().execute(_HEAD).scalar_one()
    return position


def feed(
    visible: ColumnElement[bool], *, caller_id: UUID | None, after: int, limit: int
) -> tuple[Sequence[Row[Any]], int, bool]:
    """Return events that somebody sees, in the feed's order, and where to go on, and whether there is more by now.

    Args:
        visible: the condition of access.visible_to(), about `caller_id`.
    """

    def page(connection: Connection) -> tuple[int, int, Sequence[Row[Any]]]:
        # The head first: what is numbered between the two reads must not be passed over. And both from one server: a
        # replica may lack what the primary has numbered.
        newest, following = connection.execute(_HEAD_AND_NEXT, {"after": after}).one()
        end = min(newest, (following or after) + WINDOW - 1)
        position = {"after": after, "end": end, "limit": limit, "caller_id": caller_id}
        return newest, end, connection.execute(_FEED.where(visible), position).all()

    newest, end, rows = replica.read(page)
    reached = rows[-1].position if len(rows) == limit else max(after, end)
    return rows, reached, reached < newest


def history(
    endpoint: Any, *, since: datetime, until: datetime, after: Sequence[Any] | None, limit: int
) -> Sequence[Row[Any]]:
    """Return the events that an endpoint watches in a range, with what it was sent of each, the oldest first.

    In the caller's transaction.

    Args:
        after: the position to begin after: (recorded_at, delivery_id, seq).
    """
    key = (_events.c.recorded_at, _events.c.delivery_id, _events.c.seq)
    first = and_(
        _m.channel == Channel.WEBHOOK,
        _m.recipient_id == endpoint.id,
        _m.delivery_id == _events.c.delivery_id,
        _m.seq == _events.c.seq,
        _m.resend_of.is_(None),
    )
    whose = () if endpoint.watches == EVERYBODY else (_deliveries.c.owner_id == endpoint.watches,)
    query: Select[Any] = (
        select(*envelopes.COLUMNS, _m.id.label("message_id"), _m.state, _m.body, _COPY_IS_OPEN)
        .select_from(_HISTORY.join(OutboxMessage.__table__, first, isouter=True))
        # A delivery's last change is no earlier than its events; by it the index finds them.
        .where(*whose, _deliveries.c.updated_at >= since, _events.c.recorded_at >= since)
        .where(_events.c.recorded_at < until)
    )
    if after:
        query = query.where(tuple_(*key) > tuple_(*after))
    return db.session.execute(query.order_by(*key).limit(limit)).all()


def endpoint_of(owner_id: UUID, endpoint_id: UUID) -> Row[Any] | None:
    """Return an endpoint of somebody's."""
    return reader().execute(ENDPOINT_BY_ID.where(_e.owner_id == owner_id), {"id": endpoint_id}).one_or_none()
