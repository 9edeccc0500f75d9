"""/api/webhook-endpoints, /api/webhook-deliveries and /api/events."""

from delivery.webhooks.routes.endpoints import blp as endpoints
from delivery.webhooks.routes.feed import blp as feed
from delivery.webhooks.routes.log import blp as log

__all__ = ["endpoints", "feed", "log"]
