"""gunicorn's settings, for the one-command run and for the container alike; the environment sets what differs."""

import os
from pathlib import Path

wsgi_app = "wsgi:app"
bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
# The app is loaded once and its memory shared; database.py gives every fork connections of its own.
preload_app = True
# A worker proves that it is alive by touching a file: in memory, since a slow disk would look like a dead worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  gunicorn makes a private file in it
# The default control socket lies in the home folder and is shared by all instances of one user.
control_socket_disable = True
# Below the ten seconds that whoever stops us (flask up, docker) waits before it kills.
graceful_timeout = 8
loglevel = os.environ.get("LOG_LEVEL", "INFO").lower()
