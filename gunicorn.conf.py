"""gunicorn's settings, for the one-command run, the container and `gunicorn` alone, which finds this file by itself."""

import gc
import sys
from pathlib import Path
from typing import Any

from config import Config
from delivery import logs
from delivery.ops import tallies

_config = Config.load_or_exit()

wsgi_app = "wsgi:app"
bind = f"[{_config.HOST}]:{_config.PORT}" if ":" in _config.HOST else f"{_config.HOST}:{_config.PORT}"
worker_class = "delivery.ops.web_worker.ProblemWorker"
workers = _config.WEB_WORKERS
threads = _config.WEB_THREADS
# The app is loaded once and its memory shared; database.py gives every fork connections of its own. `gunicorn --reload`
# has each worker load the newest code.
preload_app = "--reload" not in sys.argv
# A worker proves that it is alive by touching a file: in memory, since a slow disk would look like a dead worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  gunicorn makes a private file in it
# The default control socket lies in the home folder and is shared by all instances of one user.
control_socket_disable = True
# Below the ten seconds that whoever stops us (flask up, docker) waits before it kills.
graceful_timeout = 8
# A worker that has not touched its file for so long is killed. Its first thread touches it each second, whatever the
# requests do: so this ends a process that hangs as a whole. Requests end by the time-outs of what they wait for.
timeout = 30
# An idle connection is kept for so long. nginx makes a new one for each request; who keeps some, a load balancer say,
# must let go of them sooner than this, or will now and then ask on one that has just been closed.
keepalive = 5
# Who may wait to be let in: as many as systemd's socket holds, and no more than net.core.somaxconn.
backlog = 2048
# The longest address and headers, in bytes: more than nginx lets pass (8 KiB each), so that one answer is as the other.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
# No max_requests: memory does not grow with requests (docs/performance.md, "Web processes"), and each new worker costs.
loglevel = _config.LOG_LEVEL.lower()


def when_ready(_server: Any) -> None:
    """Leave the loaded app out of garbage collections: each would write to, and so copy, what the workers share."""
    gc.collect()
    gc.freeze()


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker to come a place to count in, one that nobody who lives has."""
    worker.slot = tallies.of(server.app.wsgi()).reserve(other.slot for other in server.WORKERS.values())


def post_fork(server: Any, worker: Any) -> None:
    """Have this worker count in its place."""
    tallies.of(server.app.wsgi()).take(worker.slot)


def child_exit(server: Any, worker: Any) -> None:
    """Forget what a worker had in its hands when it ended; what it counted stays."""
    tallies.of(server.app.wsgi()).clear(worker.slot)


def on_reload(_server: Any) -> None:
    """Take the loggers over again: gunicorn has just set them up anew, and every line would come twice."""
    logs.adopt()
