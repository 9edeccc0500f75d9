"""A real server to fuzz: gunicorn on a migrated database of its own, without limits in the way and without workers."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from urllib.error import URLError

from delivery.ops.leash import leashed
from delivery.ops.system import GUNICORN_CONF
from tests.conftest import CHEAP_HASHES, METRICS_TOKEN, WIDE_LIMITS, migrate
from tests.servers.postgres import postgres_server
from tests.servers.redis import redis_server
from tests.servers.system import ROOT, free_port

# What the last server logged as errors.
LOGGED = []
DATABASES = ("sqlite", "postgresql")


@contextmanager
def database(kind, folder):
    """Give the URL of an empty database of a kind."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/fuzz.sqlite3"
        return
    with postgres_server() as server, server.database() as url:
        yield url


@contextmanager
def served(kind):
    """Start a server; yields its address and the environment that a process needs to share its database."""
    with TemporaryDirectory() as folder, redis_server() as redis, database(kind, folder) as url:
        environ = served_environ(folder, url, redis.url)
        migrate(folder, DATABASE_URL=url, REDIS_URL=redis.url)
        with open(f"{folder}/server.log", "wb") as log:  # noqa: PTH123
            words = [sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONF), "wsgi:app"]
            process = subprocess.Popen(
                leashed(words, signal=signal.SIGTERM), cwd=ROOT, env=environ, stdout=log, stderr=log
            )
        address = f"http://127.0.0.1:{environ['PORT']}"
        try:
            wait_for(f"{address}/readyz", process, log=log.name)
            yield address, environ
            with open(log.name) as text:  # noqa: PTH123
                LOGGED[:] = [line for line in text if '"ERROR"' in line or "Traceback" in line]
        finally:
            process.terminate()
            process.wait(timeout=30)


def served_environ(folder, url, redis_url):
    given = {
        "DATA_DIR": folder,
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "ENVIRONMENT": "development",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "WARNING",
        "PORT": str(free_port()),
        "HOST": "127.0.0.1",
        "WEB_WORKERS": "1",
        "METRICS_TOKEN": METRICS_TOKEN,
        "PROXY_HOPS": "1",  # each request comes from an address of its own
        "ACCESS_TOKEN_EXPIRE_MINUTES": "1440",
        **CHEAP_HASHES,
        **WIDE_LIMITS,
    }
    return {**os.environ, **given, "PYTHONPATH": str(ROOT)}


def wait_for(address, process, *, log):
    for _ in range(600):
        if process.poll() is not None:
            with open(log) as text:  # noqa: PTH123
                raise RuntimeError(text.read())
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except (URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(address)
