"""The queues as Redis has them: the jobs that wait, those that failed, and the workers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from redis import Redis
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.worker import BaseWorker

from delivery import clock, jobs
from delivery.imports import waking
from delivery.notifications.states import Channel

# A worker process each.
QUEUES = (*(channel.value for channel in Channel), waking.QUEUE)


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue; `workers` counts by state, and `heartbeat_seconds` is the age of their latest sign of life."""

    name: str
    jobs: int
    oldest_seconds: float
    failed: int
    workers: dict[str, int]
    heartbeat_seconds: float | None


class _Seen(Worker):
    """A worker somewhere, as it is on record."""

    def _set_connection(self, connection: Redis) -> Redis:
        """Leave the client as it is: RQ would give it a worker's patience, and requests wait for Redis for minutes."""
        return connection


def all_of_them() -> list[QueueState]:
    """Return every queue.

    Raises:
        RedisError: Redis is down, and nobody knows.
    """
    with jobs.brief_redis() as redis:
        workers = _Seen.all(connection=redis)
        return [_state(jobs.queue(channel, redis=redis), workers, redis) for channel in QUEUES]


def _state(queue: Queue, workers: Sequence[BaseWorker], redis: Redis) -> QueueState:
    ours = [worker for worker in workers if queue.name in worker.queue_names()]
    ages = [_age(worker.last_heartbeat) for worker in ours if worker.last_heartbeat]
    return QueueState(
        name=queue.name,
        jobs=queue.count,
        oldest_seconds=_oldest_seconds(queue, redis),
        failed=queue.failed_job_registry.get_job_count(cleanup=False),
        workers=dict(Counter(str(worker.get_state()) for worker in ours)),
        heartbeat_seconds=min(ages, default=None),
    )


def _oldest_seconds(queue: Queue, redis: Redis) -> float:
    """Return for how long the first job has waited; one that has expired in the queue is none."""
    first = queue.get_job_ids(0, 1)
    if not first:
        return 0.0
    try:
        job = Job.fetch(first[0], connection=redis, serializer=queue.serializer)
    except NoSuchJobError:
        return 0.0
    return _age(job.enqueued_at) if job.enqueued_at else 0.0


def _age(moment: datetime) -> float:
    return max((clock.now() - clock.offset - moment).total_seconds(), 0.0)
