"""The scheduler process: each second it sees to it that whatever is due gets done; two of them do no harm."""

import logging
import signal
import time

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from delivery import jobs
from delivery.deliveries.numbering import number_new_events
from delivery.imports.jobs import work
from delivery.imports.queries import is_due
from delivery.imports.waking import wake
from delivery.notifications import alarm, claims, heartbeat
from delivery.notifications.jobs import deliver
from delivery.notifications.states import Channel
from delivery.ops.housekeeping import Housekeeping
from delivery.ops.schema import refuse_if_behind
from delivery.ops.signs import Sign

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
# How long a sweep itself sends when there is no queue to wake a worker by.
SLICE_SECONDS = 5.0
BACK_OFF_MAX_SECONDS = 10.0


@click.command()
@with_appcontext
def cron() -> None:
    """Sweep each second: wake the workers for messages that are due.

    Run one, or two for safety. Without Redis the sweep sends by itself, slower. SIGTERM ends it cleanly.

    \b
    Example:
      flask cron
    """  # noqa: D301  \b keeps click from wrapping
    refuse_if_behind()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, jobs.request_stop)
    logger.info("cron started")
    run()
    logger.info("cron stopped")


def run() -> None:
    """Sweep until this process is asked to stop; whatever goes wrong is logged and survived."""
    failures, housekeeping = 0, Housekeeping()
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  Flask's documented way
    sign = Sign(app.config["ALIVE_DIR"], "cron")
    while not jobs.stopping():
        began = time.monotonic()
        sign.give()
        try:
            # A context of its own each time, so that no connection outlives an error.
            with app.app_context():
                sweep()
                housekeeping.do()
            failures = 0
        except Exception as error:  # noqa: BLE001  the sweep goes on, whatever happens
            failures += 1
            log = logger.warning if isinstance(error, SQLAlchemyError) else logger.exception
            log("the sweep failed", extra={"error_class": type(error).__name__, "count": failures})
        pause = min(SWEEP_SECONDS * 2**failures, BACK_OFF_MAX_SECONDS) if failures else SWEEP_SECONDS
        jobs.pause(pause - (time.monotonic() - began))


def sweep() -> None:
    """Wake a worker for each channel in which something is due, and for imports; do it here where nobody can be woken.

    And let events that were committed since the last sweep appear in the feed.
    """
    heartbeat.beat()
    number_new_events()
    for channel in claims.due_channels():
        if not alarm.wake(channel):
            _deliver_here(channel)
    if is_due() and not wake():
        logger.warning("importing without a worker")
        work(seconds=SLICE_SECONDS)


def _deliver_here(channel: Channel) -> None:
    logger.warning("sending without a worker", extra={"channel": channel})
    deliver(channel, seconds=SLICE_SECONDS)
