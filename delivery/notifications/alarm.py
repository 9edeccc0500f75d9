"""The alarm clock: wakes a drain job for a channel, best effort; the outbox alone decides what is sent."""

import logging

from redis.exceptions import RedisError

from delivery import jobs

logger = logging.getLogger(__name__)

DRAIN = "delivery.notifications.jobs.drain"
# While this key stands, a drain job is queued that has not begun to claim: it will find what was just committed.
# Should that job be lost, the key stands in the way for no longer than this.
COALESCE_SECONDS = 5


def wake(queue: str, *, job: str = DRAIN) -> bool:
    """See to it that somebody does a queue's job soon; never raises. False: Redis is down, the sweep has to do it."""
    try:
        with jobs.brief_redis() as redis:
            if redis.set(_key(queue), 1, nx=True, ex=COALESCE_SECONDS):
                jobs.enqueue(queue, job, queue, redis=redis)
    except RedisError as error:
        logger.warning("no wake: Redis is down", extra={"channel": queue, "error_class": type(error).__name__})
        return False
    return True


def answer(channel: str) -> None:
    """Say that a drain is about to claim: what is committed from now on has to wake again.

    To be called before the first claim. The other way round, a commit between claim and answer would find the key
    standing and wake nobody.
    """
    try:
        with jobs.brief_redis() as redis:
            redis.delete(_key(channel))
    except RedisError as error:
        logger.warning("no answer: Redis is down", extra={"channel": channel, "error_class": type(error).__name__})


def _key(channel: str) -> str:
    return f"delivery:wake:{channel}"
