"""/api/sandbox: for test keys alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from delivery_client.transport import at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from delivery_client.sandbox_types import Advance, Advanced, CapturedFilters, CapturedMessage, Scenario
    from delivery_client.transport import Transport

_NAME = "sandbox"


class Sandbox:
    """Moves test deliveries through scenarios, and shows what people would be told."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def scenarios(self) -> list[Scenario]:
        """Read what can happen to a delivery, step by step."""
        answer: dict[str, Any] = self._transport.get(at(_NAME, "scenarios"))
        return cast("list[Scenario]", answer["items"])

    def advance(self, delivery_id: str, *, idempotency_key: str | None = None, **how: Unpack[Advance]) -> Advanced:
        """Make the next move of a scenario, several, or all; Conflict (`scenario_over`) where none is left."""
        path = at(_NAME, "deliveries", delivery_id, "advance")
        return cast("Advanced", self._transport.post(path, how, idempotency_key=idempotency_key))

    def messages(self, **filters: Unpack[CapturedFilters]) -> Iterator[CapturedMessage]:
        """Go through the mails and text messages that nobody got, the newest first."""
        return self._transport.pages(at(_NAME, "messages"), **filters)
