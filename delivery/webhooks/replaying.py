"""Sending again what an endpoint missed: one webhook, or a range of events; in the caller's transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from delivery import audit, clock
from delivery.database import db
from delivery.errors import Conflict, invalid_fields
from delivery.notifications.models import OutboxMessage
from delivery.notifications.services import NewMessage, add, resend
from delivery.notifications.states import OPEN, REPEATED_AS_NEW
from delivery.webhooks import envelopes
from delivery.webhooks.models import WebhookEndpoint
from delivery.webhooks.queries import endpoint_of, history
from delivery.webhooks.services import check_active, message
from delivery.webhooks.states import EVERYTHING, REPLAYED_FOR, VERIFY, is_wanted

BATCH_SIZE = 500
_messages = OutboxMessage.__table__


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one batch did: how many were sent again, how many had never been written; where to go on, if anywhere."""

    repeated: int
    made: int
    position: tuple[Any, ...] | None


def redeliver(seen: Any) -> UUID:
    """Send one webhook again, under its own id where it never arrived; return the id under which it goes out.

    Raises:
        Conflict: it is still on its way, its endpoint is not active, or it is a challenge.
    """
    if seen.event == VERIFY:
        raise Conflict("A challenge is sent again by POST .../verify.", code="challenge")
    endpoint = endpoint_of(seen.owner_id, seen.recipient_id)
    if endpoint is None:
        raise Conflict("Its endpoint was deleted.", code="endpoint_gone")
    check_active(endpoint)
    row = db.session.execute(select(_messages).where(_messages.c.id == seen.id).with_for_update()).one()
    if row.state in OPEN:
        raise Conflict("It is still on its way.", code="on_its_way")
    audit.record("webhook.redelivered", object_type="webhook_endpoint", object_id=endpoint.id, message_id=str(row.id))
    if row.state not in REPEATED_AS_NEW:
        resend([row.id], under_own_id=[row.state])
        return row.id  # type: ignore[no-any-return]
    [made] = add([_again(endpoint, row, event=row.event, message_id=row.resend_of or row.id)])
    return made


def replay(
    endpoint: Any,
    *,
    since: datetime,
    until: datetime | None = None,
    events: Collection[str] | None = None,
    after: Sequence[Any] | None = None,
) -> Replayed:
    """Send one batch of a range again, the oldest events first: what was sent, and what never was.

    What is on its way is left alone. Each message has a new id, and says by `resend_of` which it repeats.

    Args:
        events: only these types; of those that the endpoint wants.
        after: `position` of the batch before.

    Raises:
        Conflict: the endpoint is not active.
        Invalid: the range begins too long ago, or is empty.
    """
    check_active(endpoint)
    until = min(until or clock.now(), clock.now())
    _check_range(since, until)
    _take_turn(endpoint)
    rows = history(endpoint, since=since, until=until, after=after, limit=BATCH_SIZE)
    wanted = [row for row in rows if _is_due(row, endpoint, events or (EVERYTHING,))]
    add(_again(endpoint, row, event=envelopes.event_type(row), message_id=row.message_id) for row in wanted)
    repeated = sum(row.message_id is not None for row in wanted)
    last = rows[-1] if len(rows) == BATCH_SIZE else None
    position = last and (last.recorded_at, last.delivery_id, last.seq)
    counts = {"repeated": repeated, "made": len(wanted) - repeated}
    audit.record("webhook_endpoint.replayed", object_type="webhook_endpoint", object_id=endpoint.id, **counts)
    return Replayed(**counts, position=position)


def _take_turn(endpoint: Any) -> None:
    """Let two replays not write the same missing message."""
    row = select(WebhookEndpoint.id).where(WebhookEndpoint.id == endpoint.id).with_for_update()
    if db.session.execute(row).one_or_none() is None:
        raise Conflict("The endpoint was deleted at this moment.", code="lost_race")


def _check_range(since: datetime, until: datetime) -> None:
    wrong = {}
    if since < clock.now() - REPLAYED_FOR:
        wrong["/since"] = f"Must lie within the last {REPLAYED_FOR.days} days."
    if until <= since:
        wrong["/until" if since < clock.now() else "/since"] = "The range is empty."
    if wrong:
        raise invalid_fields(wrong)


def _is_due(row: Row[Any], endpoint: Any, events: Collection[str]) -> bool:
    event = envelopes.event_type(row)
    on_its_way = row.state in OPEN or row.copy_is_open
    return is_wanted(event, endpoint.events) and is_wanted(event, events) and not on_its_way


def _again(endpoint: Any, row: Any, *, event: str, message_id: UUID | None) -> NewMessage:
    """Return a message with the same bytes; an event that was never written, or not kept, is worded anew."""
    body = row.body or envelopes.frozen(envelopes.envelope(row))
    return message(endpoint, event, body=body, delivery_id=row.delivery_id, seq=row.seq, resend_of=message_id)
