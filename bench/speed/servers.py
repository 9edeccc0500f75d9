"""The servers of a benchmark: a private PostgreSQL and Valkey, and gunicorn with the project or the floor behind it."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from config import Config
from delivery.app import create_app
from delivery.database import db
from delivery.ops.leash import leashed
from delivery.ops.schema import upgrade
from delivery.ops.system import GUNICORN_CONF
from tests.servers.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A running gunicorn: where it listens, and its processes."""

    def __init__(self, name, *, port, pid):
        self.name, self.port = name, port
        self.process = psutil.Process(pid)


def environment(*, database_url, redis_url, folder):
    """Return the environment of both: the project as in production, and what the floor reads."""
    return {
        "ENVIRONMENT": "production",
        "DATA_DIR": str(folder),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": secrets.token_hex(),
        "JWT_SECRET_KEY": secrets.token_hex(),
        "PUBLIC_BASE_URL": "https://localhost",
        "TRUSTED_HOSTS": "localhost",
        "ACCESS_TOKEN_EXPIRE_MINUTES": "600",
        # Requests are counted as in production, and none is refused.
        "API_REQUESTS_PER_MINUTE": "1000000",
        "ANONYMOUS_REQUESTS_PER_MINUTE": "1000000",
        "FLOOR_DATABASE": database_url.replace("+psycopg", ""),
    }


@contextmanager
def migrated_app(environ):
    """Give the project's app on a database that is up to date, for seeding; quiet."""
    app = create_app(Config({**environ, "LOG_LEVEL": "WARNING"}))
    with app.app_context():
        upgrade(app)
        try:
            yield app
        finally:
            db.engine.dispose()


@contextmanager
def web_server(name, module, *, environ, log):
    """Run an app under gunicorn as the project is run, on a free port; its logs go to a file."""
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_CONF), "--log-level", "warning"]
        process = subprocess.Popen(
            leashed([*command, "--bind", f"fd://{descriptor}", module], signal=signal.SIGTERM),
            cwd=environ["DATA_DIR"],  # no .env of the project's
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'bench'}", **environ},
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        server = Server(name, port=listener.getsockname()[1], pid=process.pid)
        try:
            wait_until(lambda: _answers(server, process, log), what=f"{name} (see {log})", seconds=30)
            yield server
        except Exception:
            sys.stderr.write(f"The end of what {name} logged:\n{log.read_text()[-3000:]}\n")
            raise
        finally:
            process.terminate()
            process.wait(timeout=15)


def _answers(server, process, log):
    if process.poll() is not None:
        raise RuntimeError(f"{server.name} ended: {log.read_text()}")
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as connection:
        try:
            connection.request("GET", "/", headers={"Host": "localhost"})
            return connection.getresponse().status > 0
        except OSError:
            return False


def ask(server, method, path, *, token=None, body=None):
    """Send one request; return the status and the raw answer."""
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
