"""The shapes of what was sent to endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from delivery_client.types import Attempt, Time


class WebhookDeliveryFilters(TypedDict, total=False):
    limit: int
    endpoint_id: str
    state: str
    event: str


class WebhookDelivery(TypedDict):
    """`id` is the webhook-id, the same in each attempt; `error` the beginning of the last bad answer."""

    id: str
    endpoint_id: str
    event: str
    delivery_id: str | None
    sequence: int | None
    state: str
    attempts: int
    next_at: str | None
    error_class: str | None
    error: str | None
    resend_of: str | None
    created_at: str
    settled_at: str | None


class WebhookDeliveryWithAttempts(WebhookDelivery):
    """`body` are the bytes that are signed."""

    body: str | None
    attempts_made: list[Attempt]


class Redelivered(TypedDict):
    """`id` is its own, or a new one where receivers have seen the old."""

    id: str


class _ReplayRange(TypedDict):
    since: Time


class ReplayRange(_ReplayRange, total=False):
    """`since` lies within the last 30 days; `until` is now, when not given."""

    until: Time | None
    events: list[str] | None
    cursor: str | None


class Replayed(TypedDict):
    """`repeated` were sent again; `made` had never been written, or were not kept."""

    repeated: int
    made: int
    next_cursor: str | None
