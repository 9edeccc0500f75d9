"""The shapes of endpoints, of what is sent to them, and of the feed."""

from typing import Any

from flask import current_app
from marshmallow import ValidationError, fields, validate

from delivery.notifications.channels.public_addresses import LONGEST_URL, Refused
from delivery.notifications.channels.webhook import rules_of
from delivery.notifications.schemas import AttemptOut
from delivery.notifications.states import LONGEST_ERROR, MOST_ATTEMPTS, MessageState
from delivery.web import Flag, Line, Schema, Text, Time, Word
from delivery.web.paging import LARGEST_PAGE, LONGEST_CURSOR, PageArgs, page_of
from delivery.webhooks.models import EVERYBODY
from delivery.webhooks.states import EVENT_TYPES, EVERYTHING, TEST, VERIFY, DisabledReason, EndpointStatus

# An event is thin: the longest thing in it is a delivery's reference.
LONGEST_BODY = 4000


def sendable(url: str) -> None:
    """Refuse a URL that no webhook is ever sent to; where its name leads is found out by the challenge."""
    try:
        rules_of(current_app.config).target(url)
    except Refused as refused:
        raise ValidationError(str(refused)) from None


class HookUrl(Line):
    """Where webhooks go."""

    def __init__(self, **options: Any) -> None:
        example = {"format": "uri", "example": "https://shop.example/hooks/delivery"}
        super().__init__(LONGEST_URL, validate=[sendable], metadata=example, **options)


class EventTypes(fields.List[Any]):
    """Types of events, or `*` for all."""

    def __init__(self, **options: Any) -> None:
        one = fields.String(validate=validate.OneOf([EVERYTHING, *EVENT_TYPES]))
        longest = validate.Length(min=1, max=2 * len(EVENT_TYPES))
        super().__init__(one, validate=longest, metadata={"example": ["delivery.delivered"]}, **options)


_ALL = {"description": "Whether it is told of everybody's deliveries, not only yours; for admins."}


class EndpointIn(Schema):
    url = HookUrl(required=True)
    description = Line(200, load_default=None, allow_none=True)
    events = EventTypes(load_default=[EVERYTHING])
    all_deliveries = Flag(load_default=False, metadata=_ALL)


class EndpointPatch(Schema):
    url = HookUrl()
    description = Line(200, allow_none=True)
    events = EventTypes()
    all_deliveries = Flag(metadata=_ALL)


class EndpointOut(Schema):
    id = fields.UUID(required=True)
    url = Text(LONGEST_URL, required=True, metadata={"example": "https://shop.example/hooks/delivery"})
    description = Text(200, required=True, allow_none=True)
    events = EventTypes(required=True)
    all_deliveries = fields.Boolean(required=True)
    test = fields.Boolean(
        required=True, metadata={"description": "Whether a test key made it: it is told of test deliveries only."}
    )
    status = fields.Enum(
        EndpointStatus, by_value=True, required=True, metadata={"description": "Only an active one is sent events."}
    )
    disabled_reason = fields.Enum(DisabledReason, by_value=True, required=True, allow_none=True)
    verified_at = fields.AwareDateTime(required=True, allow_none=True)
    failing_since = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Since when every attempt has failed; it does not raise the version."},
    )
    old_secret_until = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "Until when the secret before signs, too."}
    )
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class NewEndpointOut(EndpointOut):
    secret = Word(
        100,
        required=True,
        allow_none=True,
        metadata={"description": "What it verifies with, this once; null in the replay of an Idempotency-Key."},
    )


EndpointPage = page_of(EndpointOut)


class ReplayIn(Schema):
    since = Time(required=True, metadata={"description": "Within the last 30 days."})
    until = Time(load_default=None, allow_none=True, metadata={"description": "Now, when not given."})
    events = EventTypes(load_default=None, allow_none=True)
    cursor = Text(
        LONGEST_CURSOR,
        load_default=None,
        allow_none=True,
        metadata={"description": "`next_cursor` of the batch before, with the same range."},
    )


class ReplayOut(Schema):
    repeated = fields.Integer(required=True, metadata={"description": "Sent again."})
    made = fields.Integer(required=True, metadata={"description": "Had never been written, or were not kept."})
    next_cursor = Word(
        LONGEST_CURSOR,
        required=True,
        allow_none=True,
        metadata={"description": "Ask again with it; null: that was all."},
    )


class WebhookArgs(PageArgs):
    endpoint_id = fields.UUID(load_default=None)
    state = fields.Enum(MessageState, by_value=True, load_default=None)
    event = fields.String(load_default=None, validate=validate.OneOf([VERIFY, TEST, *EVENT_TYPES]))


class WebhookOut(Schema):
    id = fields.UUID(required=True, metadata={"description": "The webhook-id, the same in each attempt."})
    endpoint_id = fields.UUID(required=True)
    event = Word(40, required=True, metadata={"example": "delivery.delivered"})
    delivery_id = fields.UUID(required=True, allow_none=True)
    sequence = fields.Integer(required=True, allow_none=True)
    state = fields.Enum(MessageState, by_value=True, required=True)
    attempts = fields.Integer(required=True)
    next_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "When the next attempt is due."}
    )
    error_class = Word(40, required=True, allow_none=True)
    error = Text(
        LONGEST_ERROR, required=True, allow_none=True, metadata={"description": "The beginning of the last bad answer."}
    )
    resend_of = fields.UUID(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    settled_at = fields.AwareDateTime(required=True, allow_none=True)


WebhookPage = page_of(WebhookOut)


class OneWebhookOut(WebhookOut):
    body = Text(LONGEST_BODY, required=True, allow_none=True, metadata={"description": "The bytes that are signed."})
    attempts_made = fields.List(fields.Nested(AttemptOut), required=True, validate=validate.Length(max=MOST_ATTEMPTS))


class Redelivered(Schema):
    id = fields.UUID(
        required=True, metadata={"description": "Its own id, or a new one where receivers have seen the old."}
    )


class FeedArgs(Schema):
    after = Text(
        LONGEST_CURSOR,
        load_default=None,
        metadata={
            "description": "`next_after` of the page before, or `latest` to begin with what comes now.",
            "example": "latest",
        },
    )
    limit = PageArgs().fields["limit"]


class FeedEvent(Schema):
    type = Word(40, required=True, metadata={"example": "delivery.delivered"})
    timestamp = fields.AwareDateTime(required=True, metadata={"description": "When it was written down."})
    data = fields.Dict(
        required=True,
        metadata={
            "description": "delivery_id, tracking_number, reference, status, previous_status, sequence, occurred_at"
        },
    )


class FeedPage(Schema):
    items = fields.List(fields.Nested(FeedEvent), required=True, validate=validate.Length(max=LARGEST_PAGE))
    next_after = Word(
        LONGEST_CURSOR,
        required=True,
        metadata={"description": "For the next request; always there.", "example": "WzQyXQ.c2lnbmVk"},
    )
    has_more = fields.Boolean(
        required=True, metadata={"description": "Whether to ask again at once; a page may be short all the same."}
    )


_OUT, _SENT = (tuple(schema().fields) for schema in (EndpointOut, WebhookOut))


def endpoint_out(row: Any) -> dict[str, Any]:
    """Return what EndpointOut documents; `row` has the columns of WebhookEndpoint."""
    shown = {name: getattr(row, name) for name in _OUT if name != "all_deliveries"}
    return {**shown, "all_deliveries": row.watches == EVERYBODY}


def webhook_out(row: Any) -> dict[str, Any]:
    """Return what WebhookOut documents; `row` has the columns of OutboxMessage."""
    renamed = {"endpoint_id": row.recipient_id, "sequence": row.seq}
    shown = {name: getattr(row, name) for name in _SENT if name not in renamed}
    return {**shown, **renamed, "next_at": None if row.settled_at else row.next_at}
