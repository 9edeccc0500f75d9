"""The shapes of messages; none shows an address, a token, a lease or what a message says."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from marshmallow import fields, validate

from delivery.notifications.reasons import reason
from delivery.notifications.states import LONGEST_ERROR, MOST_ATTEMPTS, OPEN, Channel, MessageState, Outcome
from delivery.web import Line, Schema, Text, Time, Word
from delivery.web.paging import PageArgs, page_from, page_of


class DeliveryMessageArgs(PageArgs):
    state = fields.List(
        fields.Enum(MessageState, by_value=True), load_default=list, validate=validate.Length(max=len(MessageState))
    )
    channel = fields.Enum(Channel, by_value=True, load_default=None)
    event = Line(40, load_default=None, metadata={"example": "delivered"})
    audience = Line(12, load_default=None, metadata={"example": "recipient"})
    since = Time(load_default=None, metadata={"description": "Written then or later."})
    until = Time(load_default=None, metadata={"description": "Written before."})


class MessageArgs(DeliveryMessageArgs):
    delivery_id = fields.UUID(load_default=None)


class MessageOut(Schema):
    id = fields.UUID(required=True, metadata={"description": "The mail's Message-ID, too."})
    channel = fields.Enum(Channel, by_value=True, required=True)
    audience = Word(12, required=True, metadata={"example": "recipient"})
    recipient_id = fields.UUID(
        required=True, metadata={"description": "The account; with the audience `recipient`, the delivery's id."}
    )
    owner_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "Whose delivery or account it is about."}
    )
    delivery_id = fields.UUID(required=True, allow_none=True)
    seq = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The event of the delivery that it tells of."}
    )
    event = Word(40, required=True, metadata={"example": "delivered"})
    template = Word(40, required=True, metadata={"example": "delivered"})
    locale = Word(15, required=True, allow_none=True, metadata={"description": "null: the account's own."})
    state = fields.Enum(MessageState, by_value=True, required=True)
    reason = Text(
        500, required=True, allow_none=True, metadata={"description": "Why it was not sent, or not yet, in a sentence."}
    )
    error_class = Word(40, required=True, allow_none=True, metadata={"description": "The same for machines."})
    attempts = fields.Integer(required=True)
    next_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "When it is tried next; null when settled."}
    )
    expires_at = fields.AwareDateTime(required=True, allow_none=True)
    provider = Text(20, required=True, allow_none=True)
    provider_ref = Text(100, required=True, allow_none=True)
    resend_of = fields.UUID(
        required=True, allow_none=True, metadata={"description": "The message that this one repeats."}
    )
    created_at = fields.AwareDateTime(required=True)
    settled_at = fields.AwareDateTime(required=True, allow_none=True)


class AttemptOut(Schema):
    number = fields.Integer(required=True)
    started_at = fields.AwareDateTime(required=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    outcome = fields.Enum(Outcome, by_value=True, required=True, allow_none=True)
    provider = Text(20, required=True, allow_none=True)
    provider_ref = Text(100, required=True, allow_none=True)
    error_class = Word(40, required=True, allow_none=True)
    error = Text(
        LONGEST_ERROR, required=True, allow_none=True, metadata={"description": "What the provider said; for staff."}
    )


class MessageWithAttemptsOut(MessageOut):
    attempts_made = fields.List(fields.Nested(AttemptOut), required=True, validate=validate.Length(max=MOST_ATTEMPTS))


MessagePage = page_of(MessageOut)


_PLAIN = tuple(name for name in MessageOut().fields if name not in {"reason", "error_class", "next_at"})


def message_out(row: Any, *, held_up: Collection[UUID] = ()) -> dict[str, Any]:
    """Return what MessageOut documents; `row` has the columns of OutboxMessage, and may wait for a paused provider."""
    shown = {name: getattr(row, name) for name in _PLAIN}
    error_class = row.error_class or ("paused" if row.id in held_up else None)
    due = row.next_at if row.state in OPEN else None
    return shown | {"reason": reason(row.state, error_class), "error_class": error_class, "next_at": due}


def attempt_out(row: Any, *, staff: bool) -> dict[str, Any]:
    """Return what AttemptOut documents; `row` has the columns of OutboxAttempt."""
    return {
        "number": row.n,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "outcome": row.outcome,
        "provider": row.provider,
        "provider_ref": row.provider_ref,
        "error_class": row.error_class,
        "error": row.error if staff else None,
    }


def story_out(row: Any, attempts: Sequence[Any], *, staff: bool, held_up: Collection[UUID] = ()) -> dict[str, Any]:
    """Return what MessageWithAttemptsOut documents; what a webhook's receiver said is for its owner alone."""
    staff = staff and row.channel != Channel.WEBHOOK
    return message_out(row, held_up=held_up) | {"attempts_made": [attempt_out(one, staff=staff) for one in attempts]}


def message_page(rows: Sequence[Any], *, limit: int, held_up: Collection[UUID] = ()) -> dict[str, Any]:
    """Return what MessagePage documents; `rows` has one more than `limit` where there is another page."""
    return page_from(rows, limit=limit, shown=partial(message_out, held_up=held_up))
