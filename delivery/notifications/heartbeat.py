"""The sweep's sign of life, in Redis, for those who watch."""

import logging
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError

from delivery import clock, jobs

logger = logging.getLogger(__name__)

KEY, TTL_SECONDS = "delivery:cron:heartbeat", 60


def beat() -> None:
    """Leave a sign of life; without Redis there is none, and the sweep goes on."""
    try:
        with jobs.brief_redis() as redis:
            redis.set(KEY, clock.now().isoformat(), ex=TTL_SECONDS)
    except RedisError as error:
        logger.debug("no heartbeat", extra={"error_class": type(error).__name__})


def age_seconds() -> float | None:
    """Return how long ago the last sweep began; None: longer than TTL_SECONDS, or never.

    Raises:
        RedisError: Redis is down, and nobody knows.
    """
    with jobs.brief_redis() as redis:
        found: Any = redis.get(KEY)
    if found is None:
        return None
    return max((clock.now() - datetime.fromisoformat(found.decode())).total_seconds(), 0.0)
