"""Reads of the sandbox: what was captured, in the words that would have been sent; they write nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.sql.expression import bindparam

from delivery.database import reader
from delivery.deliveries.models import DeliveryEvent
from delivery.notifications import registry
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.models import OutboxMessage
from delivery.notifications.registry import Composer, Verdict
from delivery.notifications.states import Channel

_m = OutboxMessage.__table__.c
_events = DeliveryEvent.__table__.c
_NOBODYS = UUID(int=0)  # no worker holds what is captured
# Where a delivery has been, in order; an edit is no step.
BEEN = (
    select(_events.to_state)
    .where(_events.delivery_id == bindparam("delivery_id"), _events.kind != "edited")
    .order_by(_events.seq)
)


def captured(
    visible: ColumnElement[bool], *, before: UUID | None, limit: int, filters: Mapping[str, Any]
) -> Sequence[Row[Any]]:
    """Return messages about test deliveries that were not sent, the newest first, beginning before an id.

    Args:
        visible: the condition of notifications.access.visible_to().
        filters: delivery_id, channel, event, audience; None means any.
    """
    chosen = [_m[name] == value for name, value in filters.items() if value is not None]
    query = select(OutboxMessage.__table__).where(visible, _m.test, _m.channel != Channel.WEBHOOK, *chosen)
    if before:
        query = query.where(_m.id < before)
    return reader().execute(query.order_by(_m.id.desc()).limit(limit)).all()


def in_words(rows: Sequence[Row[Any]]) -> dict[UUID, Verdict]:
    """Return, for each message, the letter as it would be sent now, or why it would not be."""
    by_composer: dict[Composer, list[ClaimedMessage]] = defaultdict(list)
    for row in rows:
        by_composer[registry.composer(row.template)].append(_held(row))
    verdicts: dict[UUID, Verdict] = {}
    for compose, messages in by_composer.items():
        verdicts |= compose(messages)
    return verdicts


def _held(row: Row[Any]) -> ClaimedMessage:
    fields = {name: getattr(row, name) for name in ClaimedMessage.__slots__}
    return ClaimedMessage(**{**fields, "lease_token": _NOBODYS})
