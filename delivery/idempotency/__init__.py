"""The saved answer of a request with an Idempotency-Key, which makes it safe to repeat."""

from delivery.idempotency.kept import KEPT_HOURS, IdempotencyKey, forget, forget_mentions, purge
from delivery.idempotency.keyed import (
    heeds_key,
    read_caller,
    takes_key,
    transactional,
    transactional_with_secret,
)

__all__ = [
    "KEPT_HOURS",
    "IdempotencyKey",
    "forget",
    "forget_mentions",
    "heeds_key",
    "purge",
    "read_caller",
    "takes_key",
    "transactional",
    "transactional_with_secret",
]
