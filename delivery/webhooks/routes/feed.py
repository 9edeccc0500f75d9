"""The feed: events for whoever would rather ask than be told, in an order that passes none over."""

from typing import Any

from flask import Response

from delivery.deliveries.access import visible_to
from delivery.web import Blueprint, answer, caller, signed_in
from delivery.web.paging import read_cursor, write_cursor
from delivery.webhooks import queries
from delivery.webhooks.envelopes import envelope
from delivery.webhooks.schemas import FeedArgs, FeedPage

blp = Blueprint("events", __name__, url_prefix="/api/events", description="What happened to deliveries, in order.")
_FEED, _LATEST = "feed", "latest"


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(FeedArgs, location="query")
@blp.response(200, FeedPage)
def index(args: dict[str, Any]) -> Response:
    """Read events of the deliveries that you may see, the oldest first; go on with `next_after`, for ever.

    The bodies are those of the webhooks. An event appears about a second after it happened, and none is passed over.
    """
    visible, caller_id = visible_to(caller()), caller().id
    after = _position(args["after"])
    rows, reached, more = queries.feed(visible, caller_id=caller_id, after=after, limit=args["limit"])
    next_after = write_cursor(_FEED, reached)
    return answer({"items": [envelope(row) for row in rows], "next_after": next_after, "has_more": more})


def _position(after: str | None) -> int:
    if after == _LATEST:
        return queries.head()
    return int(read_cursor(after, sort=_FEED)[0]) if after else 0
