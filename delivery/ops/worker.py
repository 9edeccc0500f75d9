"""The worker processes: one a queue, forked from a parent that has imported the app, and replaced when they die."""

import gc
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext
from redis.client import Pipeline
from rq import SimpleWorker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.worker import WorkerStatus

from delivery import jobs, logs
from delivery.imports import waking
from delivery.notifications import alarm
from delivery.ops.leash import die_with_parent
from delivery.ops.queues import QUEUES
from delivery.ops.schema import refuse_if_behind
from delivery.ops.signs import SILENT, Sign

logger = logging.getLogger(__name__)

# RQ waits for a job 15 s less than this, and looks after dead workers' jobs only between two waits.
WORKER_TTL_SECONDS = 30
MAINTENANCE_SECONDS = 15
# Longer than any drain: until then a worker that says nothing counts as alive.
JOB_TTL_SECONDS = 120
# Longer than a send takes, each up to its time-out of 15 s: what is in a provider's hands shall not end uncertain.
STOP_SECONDS = 18.0
BACK_OFF_MAX_SECONDS = 10.0
# A process that has lived so long did not die of its start.
HEALTHY_SECONDS = 5.0
# How long a thread that words keeps one that sends waiting; Python's own 5 ms are several answers of a mail server.
TURN_SECONDS = 0.0005
# What may stand in a queue; RQ would call anything.
JOBS = frozenset({alarm.DRAIN, waking.JOB})
_fork = multiprocessing.get_context("fork")


@click.command()
@click.argument("queues", nargs=-1, type=click.Choice(QUEUES))
@with_appcontext
def worker(queues: tuple[str, ...]) -> None:
    """Send messages and import files: one process for each of the QUEUES, by default one for each there is.

    Name a queue twice for two processes; run more of these commands, on other hosts too, for more still.
    A process that dies is started again. SIGTERM lets each finish the message in its hands.

    \b
    Examples:
      flask worker
      flask worker mail mail sms
    """  # noqa: D301  \b keeps click from wrapping
    refuse_if_behind()
    gc.freeze()  # what is loaded by now is shared with the children and stays
    team = _Team([_Member(queue, place) for place, queue in enumerate(queues or QUEUES)])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, jobs.request_stop)
    logger.info("workers started", extra={"count": len(team.members)})
    team.run()
    logger.info("workers stopped")


class DrainJob(Job):
    """One of the jobs there are: RQ would import and call whatever path stands in Redis, callbacks and webhooks too."""

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []

    @property
    def func(self) -> Callable[..., Any] | None:
        if self.func_name not in JOBS or self.instance:
            raise ValueError("no job of ours")
        function: Callable[..., Any] | None = super().func
        return function


class QueueWorker(SimpleWorker):
    """RQ's worker without a fork a job, as a drain holds on to its connection.

    It gets one queue: with several RQ takes jobs by BLPOP, and one that is killed then takes its job with it.
    """

    log_result_lifespan = False
    sign = SILENT

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Finish the message in hand and go; RQ's own handler would talk to Redis in the middle of a job."""
        jobs.request_stop()
        if self.get_state() != WorkerStatus.BUSY:
            raise StopRequested
        self._stop_requested = True

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that this worker lives, also to a Redis that has lost what it knew: RQ enlists once, at its start."""
        self.sign.give()  # before Redis, which may keep us waiting
        super().heartbeat(timeout, pipeline)
        commands = self.connection.pipeline() if pipeline is None else pipeline
        commands.hset(self.key, mapping=self.serialize())
        worker_registration.register(self, commands)
        if pipeline is None:
            commands.execute()

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Jobs have no time-out here; RQ would take a dead worker for alive for seven minutes."""
        return JOB_TTL_SECONDS


def worker_of(channel: str) -> QueueWorker:
    redis = jobs.redis_for_worker()
    queue = jobs.queue(channel, redis=redis)
    return QueueWorker(
        [queue],
        connection=redis,
        serializer=queue.serializer,
        job_class=DrainJob,
        worker_ttl=WORKER_TTL_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
        log_job_description=False,
    )


def work(channel: str, *, place: int) -> None:
    """Work on one queue until asked to stop; the body of a child process, in its place of the team."""
    rq_worker = worker_of(channel)
    rq_worker.sign = Sign(current_app.config["ALIVE_DIR"], f"{channel}-{place}")
    logs.adopt()
    sys.setswitchinterval(TURN_SECONDS)
    rq_worker.work(logging_level="WARNING")


@dataclass
class _Member:
    """One place in the team and the process that fills it."""

    channel: str
    place: int
    process: ForkProcess | None = None
    started_at: float = 0.0
    back_off_seconds: float = 0.0
    due_at: float = 0.0

    def start(self) -> None:
        given = (self.channel, self.place, os.getpid())
        self.process = _fork.Process(target=_child, args=given, name=f"worker-{self.channel}")
        self.process.start()
        self.started_at = time.monotonic()

    def tend(self) -> None:
        """Start the process when there is none; one that dies at once is started again ever more slowly."""
        if self.process is not None and self.process.exitcode is not None:
            self._bury(self.process)
        if self.process is None and time.monotonic() >= self.due_at:
            self.start()

    def _bury(self, process: ForkProcess) -> None:
        logger.warning("a worker died", extra={"channel": self.channel, "code": process.exitcode})
        now = time.monotonic()
        healthy = now - self.started_at > HEALTHY_SECONDS
        self.back_off_seconds = 0 if healthy else min(2 * self.back_off_seconds + 1, BACK_OFF_MAX_SECONDS)
        self.due_at = now + self.back_off_seconds
        process.close()
        self.process = None


def _child(channel: str, place: int, parent: int) -> None:
    """Be a worker, and do not outlive the parent: it would work on unseen."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(signal.SIGTERM, parent=parent)
    work(channel, place=place)


@dataclass
class _Team:
    members: Sequence[_Member] = field(default_factory=list)

    def run(self) -> None:
        while not jobs.stopping():
            for member in self.members:
                member.tend()
            wait([member.process.sentinel for member in self.members if member.process], timeout=0.5)
        self.stop()

    def stop(self) -> None:
        """Ask all to stop, wait, and kill those that do not: their messages come back when the leases end."""
        alive = [member.process for member in self.members if member.process]
        for process in alive:
            process.terminate()
        end = time.monotonic() + STOP_SECONDS
        for process in alive:
            process.join(max(0, end - time.monotonic()))
        for process in alive:
            process.kill()
