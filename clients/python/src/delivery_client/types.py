"""The shapes that go in and come out; ids and times are strings, as the API has them.

They are plain dicts when the program runs: what the API gains later is there, and unknown to the type checker alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypedDict, Union

Time = Union[datetime, str]  # noqa: UP007  Python 3.10 reads it when the program runs
State = Literal[
    "draft",
    "pending",
    "assigned",
    "picked_up",
    "in_transit",
    "out_for_delivery",
    "delivered",
    "attempt_failed",
    "on_hold",
    "returning",
    "returned",
    "cancelled",
    "lost",
]
Sort = Literal["-created_at", "created_at", "-updated_at", "updated_at"]


class Versioned(TypedDict):
    """What a change needs to know of the thing that it changes."""

    id: str
    version: int


class Location(TypedDict):
    lat: float
    lng: float


class _Address(TypedDict):
    line1: str
    city: str
    country: str


class Address(_Address, total=False):
    line2: str | None
    region: str | None
    postcode: str | None
    lat: float | None
    lng: float | None
    notes: str | None


class _Recipient(TypedDict):
    name: str


class NewRecipient(_Recipient, total=False):
    email: str | None
    phone: str | None
    locale: str


class Package(TypedDict, total=False):
    weight_grams: int | None
    pieces: int
    length_mm: int | None
    width_mm: int | None
    height_mm: int | None


class NewWindow(TypedDict, total=False):
    earliest: Time | None
    latest: Time | None


class Requirements(TypedDict, total=False):
    photo: bool
    signature: bool
    pin: bool


class _Writable(TypedDict, total=False):
    description: str | None
    reference: str | None
    pickup: Address | None
    package: Package | None
    window: NewWindow | None
    tags: list[str]
    notifications: dict[str, Any] | None
    owner_id: str
    requirements: Requirements


class _NewDelivery(TypedDict):
    item_name: str
    recipient: NewRecipient
    destination: Address


class NewDelivery(_Writable, _NewDelivery, total=False):
    draft: bool


class DeliveryChanges(_Writable, total=False):
    item_name: str
    recipient: NewRecipient
    destination: Address


class Move(TypedDict, total=False):
    reason_code: str | None
    note: str | None
    public_note: str | None
    occurred_at: Time | None
    location: Location | None
    courier_id: str | None


class ExportFilters(TypedDict, total=False):
    status: list[State]
    tag: list[str]
    courier_id: str
    owner_id: str
    reference: str
    q: str
    late: bool
    unassigned: bool
    created_after: Time
    created_before: Time
    updated_after: Time
    updated_before: Time
    window_after: Time
    window_before: Time
    sort: Sort


class DeliveryFilters(ExportFilters, total=False):
    limit: int


class Recipient(TypedDict):
    name: str
    email: str | None
    phone: str | None
    locale: str


class Window(TypedDict):
    earliest: str | None
    latest: str | None


class Delivery(TypedDict):
    id: str
    tracking_number: str
    test: bool
    status: State
    allowed_transitions: list[State]
    owner_id: str
    courier_id: str | None
    reference: str | None
    item_name: str
    description: str | None
    recipient: Recipient
    pickup: Address | None
    destination: Address
    package: Package | None
    window: Window
    requirements: Requirements
    notifications: dict[str, Any] | None
    tags: list[str]
    version: int
    created_at: str
    updated_at: str
    picked_up_at: str | None


class DeliveryEvent(TypedDict):
    seq: int
    kind: str
    from_state: State | None
    to_state: State
    reason_code: str | None
    note: str | None
    public_note: str | None
    location: Location | None
    actor_type: str
    actor_id: str | None
    request_id: str | None
    occurred_at: str
    recorded_at: str


class NotificationFilters(TypedDict, total=False):
    state: list[str]
    channel: str
    event: str
    audience: str
    since: Time
    until: Time
    limit: int


class AllNotificationFilters(NotificationFilters, total=False):
    delivery_id: str


class Notification(TypedDict):
    id: str
    channel: str
    audience: str
    recipient_id: str
    owner_id: str | None
    delivery_id: str | None
    seq: int | None
    event: str
    template: str
    locale: str | None
    state: str
    reason: str | None
    error_class: str | None
    attempts: int
    next_at: str | None
    expires_at: str | None
    provider: str | None
    provider_ref: str | None
    resend_of: str | None
    created_at: str
    settled_at: str | None


class Attempt(TypedDict):
    number: int
    started_at: str
    ended_at: str | None
    outcome: str | None
    provider: str | None
    provider_ref: str | None
    error_class: str | None
    error: str | None


class NotificationWithAttempts(Notification):
    attempts_made: list[Attempt]


class _NewEndpoint(TypedDict):
    url: str


class EndpointOptions(TypedDict, total=False):
    description: str | None
    events: list[str]
    all_deliveries: bool


class NewEndpoint(_NewEndpoint, EndpointOptions):
    pass


class EndpointChanges(EndpointOptions, total=False):
    url: str


class WebhookEndpoint(TypedDict):
    id: str
    url: str
    description: str | None
    events: list[str]
    all_deliveries: bool
    test: bool
    status: str
    disabled_reason: str | None
    verified_at: str | None
    failing_since: str | None
    old_secret_until: str | None
    version: int
    created_at: str
    updated_at: str


class WebhookEndpointWithSecret(WebhookEndpoint):
    secret: str | None


class FeedEvent(TypedDict):
    type: str
    timestamp: str
    data: dict[str, Any]


class FeedPage(TypedDict):
    items: list[FeedEvent]
    next_after: str
    has_more: bool
