"""What nobody needs any more is thrown away: a little at a time, so that no lock is held for long."""

import logging
import time
from collections.abc import Callable

from flask import current_app

from delivery import idempotency, limits
from delivery.audit.services import head as audit_head
from delivery.auth import addresses, invitations, sessions
from delivery.database import transaction
from delivery.imports import retention as imports
from delivery.notifications import retention
from delivery.notifications.reconciling import reconcile_some
from delivery.ops import partitions
from delivery.privacy import erasure_list
from delivery.privacy import services as privacy

logger = logging.getLogger(__name__)

EVERY_SECONDS = 600.0
LISTING_SECONDS = 60.0
ASKED_AT_ONCE = 5  # text messages; the sweep waits meanwhile
BATCH_SIZE = 1000
ERASED_AT_ONCE = 100  # deliveries; each is changed and gets its event
# Each deletes up to so many rows and returns how many it deleted.
CHORES: tuple[Callable[[int], int], ...] = (
    idempotency.purge,
    sessions.purge,
    limits.purge,
    addresses.purge,
    invitations.purge,
    retention.purge,
    imports.purge,
    partitions.keep_ahead,
)


class Housekeeping:
    """Does the chores every EVERY_SECONDS, beginning with the first call; two processes at it do no harm."""

    def __init__(self) -> None:
        self._due_at = self._listing_due_at = 0.0  # by the monotonic clock
        self._seen_head: str | None = None

    def do(self) -> None:
        """Do one batch of each chore if it is time; while there is more to do, it stays time."""
        if time.monotonic() >= self._listing_due_at:
            self._listing_due_at = time.monotonic() + LISTING_SECONDS
            _list_erasures()
            reconcile_some(ASKED_AT_ONCE)
        if time.monotonic() < self._due_at:
            return
        more = [_do_one_batch(chore, size=BATCH_SIZE) for chore in CHORES]
        more.append(_do_one_batch(privacy.go_on, size=ERASED_AT_ONCE))
        if not any(more):
            self._witness()
            self._due_at = time.monotonic() + EVERY_SECONDS

    def _witness(self) -> None:
        """Log the audit log's head when it has grown: whoever rewrites that log does not reach this one."""
        head = audit_head()
        if head not in {None, self._seen_head}:
            logger.info("the audit log's head", extra={"code": head})
            self._seen_head = head


def _do_one_batch(chore: Callable[[int], int], *, size: int) -> bool:
    """Return whether there may be more to do."""
    with transaction():
        count = chore(size)
    if count:
        logger.info("threw away what had expired", extra={"code": chore.__module__, "count": count})
    return count >= size


def _list_erasures() -> None:
    """Have the list outside the database follow; a disk that fails must not stop the mail, and doctor tells of it."""
    try:
        count = erasure_list.keep_up(current_app.config["ERASURE_LIST"])
    except OSError as error:
        logger.error("the list of erasures cannot be written", extra={"error_class": type(error).__name__})  # noqa: TRY400
        return
    if count:
        logger.info("listed erasures", extra={"count": count})
