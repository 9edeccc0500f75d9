"""/api/events, the feed: for whoever would rather ask than be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from delivery_client.transport import Transport
    from delivery_client.types import FeedPage


class Events:
    """What happened to the deliveries that you may see, in an order that passes none over."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def pages(self, *, after: str | None = None, limit: int = 100) -> Iterator[FeedPage]:
        """Go through the pages until nothing more is there for now.

        Do what the page asks for, then keep its `next_after`: it is where to go on the next time.

        Args:
            after: the `next_after` that you kept, or `latest`; from the beginning when not given.
        """
        more = True
        while more:
            page = cast("FeedPage", self._transport.get("/api/events", after=after, limit=limit))
            yield page
            after, more = page["next_after"], page["has_more"]
