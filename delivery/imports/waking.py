"""Waking a worker for imports, best effort: the rows of the table alone decide what is worked on."""

from delivery.notifications import alarm

QUEUE = "imports"
JOB = "delivery.imports.jobs.work_on_imports"


def wake() -> bool:
    """See to it that somebody works on imports soon; never raises. False: Redis is down, the sweep has to do it."""
    return alarm.wake(QUEUE, job=JOB)


def wake_soon(_: None) -> None:
    """Wake a worker after a commit; the sweep does it should nobody be woken."""
    wake()
