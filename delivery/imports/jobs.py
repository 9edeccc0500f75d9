"""The job: works on imports that are due, in turns, until there are none or its time is up."""

import logging
import time

from sqlalchemy.exc import SQLAlchemyError

from delivery.imports import running
from delivery.imports.queries import is_due
from delivery.imports.waking import wake
from delivery.jobs import job, stopping
from delivery.notifications import alarm

logger = logging.getLogger(__name__)

JOB_SECONDS = 20
# How long one import is worked on while others wait.
TURN_SECONDS = 5
# What failed without a reason that we know is tried again so much later, each time.
WAIT_SECONDS = 10


@job
def work_on_imports(queue: str) -> None:
    """Work on imports; when time is up before all is done, another job goes on."""
    alarm.answer(queue)
    if work(seconds=JOB_SECONDS):
        wake()


def work(*, seconds: float) -> bool:
    """Work on what is due, for so long at most; return whether somebody should go on at once."""
    end = time.monotonic() + seconds
    while not stopping() and time.monotonic() < end:
        claimed = running.claim()
        if claimed is None:
            return False
        try:
            running.work_on(claimed, until=end, turn=time.monotonic() + TURN_SECONDS)
        except SQLAlchemyError:
            raise
        except Exception:
            logger.exception("an import broke", extra={"code": str(claimed.id)})
            running.release(claimed, wait_seconds=WAIT_SECONDS * claimed.attempts)
    return is_due()
