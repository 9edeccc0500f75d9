"""A client of Delivery's API: typed, with retries that have one effect."""

from delivery_client.client import Client
from delivery_client.errors import (
    ApiError,
    Conflict,
    DeliveryError,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    StaleVersion,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from delivery_client.webhooks import Forged, Webhook, verify

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "DeliveryError",
    "FieldError",
    "Forbidden",
    "Forged",
    "Invalid",
    "NotFound",
    "StaleVersion",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Webhook",
    "verify",
]
