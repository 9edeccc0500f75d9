"""The shapes of the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from delivery_client.types import Delivery, State

ScenarioName = Literal["happy", "failed_then_delivered", "returned", "lost"]


class Scenario(TypedDict):
    name: ScenarioName
    description: str
    steps: list[State]


class Advance(TypedDict, total=False):
    """`steps` are how many moves are made, one when not given; or all, `to_end`."""

    scenario: ScenarioName | None
    steps: int
    to_end: bool


class Advanced(TypedDict):
    """`made` is where it was moved, in order; after `next` None the scenario is over."""

    scenario: ScenarioName
    made: list[State]
    next: State | None
    delivery: Delivery


class CapturedFilters(TypedDict, total=False):
    limit: int
    delivery_id: str
    channel: Literal["mail", "sms"]
    event: str
    audience: str


class CapturedMessage(TypedDict):
    """`reason`: why a live one would not be sent, or not yet."""

    id: str
    delivery_id: str
    seq: int
    channel: Literal["mail", "sms"]
    audience: str
    event: str
    template: str
    would_be_sent: bool
    reason: str | None
    to: str | None
    subject: str | None
    text: str | None
    html: str | None
    headers: dict[str, str]
    created_at: str
