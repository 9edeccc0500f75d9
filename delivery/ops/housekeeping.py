"""What nobody needs any more is thrown away: a little at a time, so that no lock is held for long."""

import logging
import time
from collections.abc import Callable

from delivery import idempotency, limits
from delivery.audit.services import head as audit_head
from delivery.auth import invitations, sessions
from delivery.database import transaction

logger = logging.getLogger(__name__)

EVERY_SECONDS = 600.0
BATCH_SIZE = 1000
# Each deletes up to so many rows and returns how many it deleted.
CHORES: tuple[Callable[[int], int], ...] = (idempotency.purge, sessions.purge, limits.purge, invitations.purge)


class Housekeeping:
    """Does the chores every EVERY_SECONDS, beginning with the first call; two processes at it do no harm."""

    def __init__(self) -> None:
        self._due_at = 0.0  # by the monotonic clock
        self._seen_head: str | None = None

    def do(self) -> None:
        """Do one batch of each chore if it is time; while there is more to do, it stays time."""
        if time.monotonic() < self._due_at:
            return
        deleted = [_do_one_batch(chore) for chore in CHORES]
        if max(deleted) < BATCH_SIZE:
            self._witness()
            self._due_at = time.monotonic() + EVERY_SECONDS

    def _witness(self) -> None:
        """Log the audit log's head when it has grown: whoever rewrites that log does not reach this one."""
        head = audit_head()
        if head not in {None, self._seen_head}:
            logger.info("the audit log's head", extra={"code": head})
            self._seen_head = head


def _do_one_batch(chore: Callable[[int], int]) -> int:
    with transaction():
        count = chore(BATCH_SIZE)
    if count:
        logger.info("threw away what had expired", extra={"code": chore.__module__, "count": count})
    return count
