"""/api/notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from delivery_client.transport import at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from delivery_client.transport import Transport
    from delivery_client.types import AllNotificationFilters, Notification, NotificationWithAttempts

_NAME = "notifications"


class Notifications:
    """What was sent to whom, and what was not and why."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **filters: Unpack[AllNotificationFilters]) -> Iterator[Notification]:
        """Go through the messages about your deliveries and account, the newest first."""
        return self._transport.pages(at(_NAME), **filters)

    def get(self, message_id: str) -> NotificationWithAttempts:
        """Read one, with each attempt to send it."""
        return cast("NotificationWithAttempts", self._transport.get(at(_NAME, message_id)))

    def resend(self, message_id: str, *, idempotency_key: str | None = None) -> Notification:
        """Send one once more; returns the message that goes out."""
        path = at(_NAME, message_id, "resend")
        return cast("Notification", self._transport.post(path, idempotency_key=idempotency_key))
