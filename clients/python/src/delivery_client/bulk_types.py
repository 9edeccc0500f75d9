"""The shapes of requests about many deliveries."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from delivery_client.types import Move, State

Outcome = Literal["created", "duplicate", "refused"]
LabelSize = Literal["a6", "a4"]


class _Problem(TypedDict):
    type: str
    title: str
    status: int
    detail: str
    code: str


class Problem(_Problem, total=False):
    """Why there is none; some codes have members of their own, such as `allowed`."""

    errors: list[dict[str, Any]]


class CreatedItem(TypedDict):
    """`id` of a duplicate is that of the delivery that has its reference."""

    index: int
    outcome: Outcome
    id: str | None
    tracking_number: str | None
    reference: str | None
    problem: Problem | None


class CreatedItems(TypedDict):
    created: int
    duplicates: int
    refused: int
    items: list[CreatedItem]


class MoveOfAll(Move, total=False):
    to: State


class _Moved(TypedDict):
    id: str


class MoveItem(_Moved, MoveOfAll, total=False):
    """`version`: refused if it has changed since."""

    version: int


class MovedItem(TypedDict):
    index: int
    id: str | None
    ok: bool
    status: State | None
    version: int | None
    problem: Problem | None


class MovedItems(TypedDict):
    ok: int
    failed: int
    dry_run: bool
    items: list[MovedItem]
