"""The system under test: the processes of production, each started again as soon as it ends, and killed by us."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import psutil
import psycopg

from config import Config
from delivery.app import create_app
from delivery.ops.leash import leashed
from delivery.ops.schema import upgrade
from delivery.ops.system import GUNICORN_CONF
from tests.conftest import close
from tests.faults.hooks import Folder
from tests.faults.pace import PACES
from tests.servers import postgres as pg
from tests.servers.folders import short_folder
from tests.servers.redis import RedisServer
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
APP = "tests.faults.app:app"
READY_SECONDS = 60
# As in production: the planner knows what is in the tables. It looks more often, since all is over within the minute.
SETTINGS = (*(one for one in pg.DURABLE if one != "autovacuum=off"), "autovacuum_naptime=5s")


class Member:
    """One command that is kept running; a restart is what systemd or docker would do."""

    def __init__(self, name, command, *, environ, folder, descriptors=()):
        self.name, self._command, self._environ = name, command, environ
        self._folder, self._descriptors = folder, descriptors
        self.process, self.wanted = None, False
        self.log = folder / f"{name}.log"

    def start(self):
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                leashed(self._command, signal=signal.SIGTERM),
                cwd=self._folder,  # no .env of anybody's
                env=self._environ,
                pass_fds=self._descriptors,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wanted = True

    def tend(self):
        if self.wanted and self.process.poll() is not None:
            self.start()

    def stop(self):
        self.wanted = False
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def wait(self, seconds):
        """Whether it left by itself in time."""
        if self.process is None:
            return True
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True

    def children(self):
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []


class Cluster:
    """PostgreSQL that can be stopped at once, and held."""

    def __init__(self, folder):
        self.folder, self.user = folder, pg.server_user()
        self.tools = pg.reachable(pg.find_binaries(), folder=folder, user=self.user)
        pg.initialise(self.tools, folder=folder, user=self.user)
        self.process = None

    def start(self):
        self.process = pg.start(self.tools, folder=self.folder, user=self.user, settings=SETTINGS)
        wait_until(self._answers, what=f"PostgreSQL (see {self.folder}/log)", seconds=READY_SECONDS)

    def _answers(self):
        try:
            return pg.answers(self.folder, self.process)
        except psycopg.OperationalError:
            return False

    def crash(self):
        """Immediate stop: nothing is finished, nothing written that has not been; then start again."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(timeout=30)
        self.start()

    def hold(self, seconds):
        """All its processes stand still: connections stay open and nothing is answered."""
        master = psutil.Process(self.process.pid)
        held = [master, *master.children(recursive=True)]
        _signal(held, signal.SIGSTOP)
        time.sleep(seconds)
        _signal(held, signal.SIGCONT)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=30)


class System:
    """A database, a store, API, worker and cron; `folder` is where all of it lies."""

    def __init__(self, database, *, folder, redis, cluster, outside, pace="short", bug=""):
        self.database, self.folder, self.redis, self.cluster = database, folder, redis, cluster
        self.points = Folder(folder / "points")
        self.points.path.mkdir()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.pace = PACES[pace]
        self.settings = self._settings(outside)
        hooked = {"FAULTS_FOLDER": str(self.points.path), "FAULTS_PACE": pace, "FAULTS_BUG": bug}
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "FLASK_APP": APP, **self.settings, **hooked}
        gunicorn = ["gunicorn", "--config", str(GUNICORN_CONF), "--bind", f"fd://{self.listener.fileno()}", APP]
        commands = {
            "api": (gunicorn, (self.listener.fileno(),)),
            "worker": (["flask", "worker", "mail", "mail", "sms", "webhook"], ()),
            "cron": (["flask", "cron"], ()),
            "cron_2": (["flask", "cron"], ()),  # two of them do no harm
        }
        self.members = {
            name: Member(name, [sys.executable, "-m", *command], environ=base | {"FAULTS_ROLE": name}, folder=folder,
                         descriptors=descriptors)
            for name, (command, descriptors) in commands.items()
        }  # fmt: skip
        self.kills, self.outages = [], []
        # A leashed process dies with the thread that started it, so those which start the stores anew must live on.
        self.hands = ThreadPoolExecutor(1)
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def _settings(self, outside):
        url = f"sqlite:///{self.folder}/delivery.sqlite3" if self.cluster is None else pg.Postgres(
            self.cluster.folder).url()  # fmt: skip
        return self.pace.settings | {
            "ENVIRONMENT": "development", "DATA_DIR": str(self.folder), "DATABASE_URL": url,
            "REDIS_URL": self.redis.url, "LOG_LEVEL": "WARNING", "LOG_FORMAT": "json",
            "ARGON2_MEMORY_KIB": "128", "ARGON2_TIME_COST": "1", "ACCESS_TOKEN_EXPIRE_MINUTES": "600",
            "API_REQUESTS_PER_MINUTE": "1000000", "ANONYMOUS_REQUESTS_PER_MINUTE": "1000000", "PROXY_HOPS": "1",
            "WEB_WORKERS": "2", "WEB_THREADS": "4", "MAIL_FROM": "Delivery <no-reply@faults.example>",
            "SMTP_HOST": outside.smtp.host, "SMTP_PORT": str(outside.smtp.port), "SMTP_TLS": "starttls",
            "SSL_CERT_FILE": str(outside.smtp.certificate), "SMS_PROVIDER": "twilio",
            "SMS_API_KEY": outside.twilio.account, "SMS_API_SECRET": outside.twilio.token,
            "SMS_FROM": "+15005550006", "TWILIO_BASE_URL": outside.twilio.url, "SMS_PER_NUMBER_PER_DAY": "1000",
            "WEBHOOK_ALLOW_LOOPBACK": "true",
        }  # fmt: skip

    def migrate(self):
        """Bring the database up to date."""
        upgrade(self._app)
        close(self._app)

    def seeded(self, seed_with):
        """Call `seed_with()` in the context of an app of our own, which keeps no connection."""
        try:
            with self._app.app_context():
                return seed_with()
        finally:
            close(self._app)

    @cached_property
    def _app(self):
        return create_app(Config(self.settings))

    def start(self, *names):
        for name in names:
            self.members[name].start()
        if not self._keeper.is_alive():
            self._keeper.start()
        if "api" in names:
            wait_until(self._ready, what=f"/readyz (see {self.folder}/api.log)", seconds=READY_SECONDS)

    def _ready(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(20).startswith(b"HTTP/1.1 200")
        return False

    def _keep(self):
        while not self._ended.wait(0.05):
            for member in self.members.values():
                member.tend()

    def kill(self, name, choice):
        """kill -9 one process; returns whether there was one."""
        kind, member = {"api_worker": ("child", "api"), "api_master": ("self", "api"), "cron": ("self", "cron"),
                        "worker_child": ("child", "worker"), "worker_parent": ("self", "worker")}[name]  # fmt: skip
        member = self.members[member]
        children = sorted(member.children(), key=lambda one: one.pid)
        if kind == "child" and not children:
            return False
        pid = children[choice % len(children)].pid if kind == "child" else member.process.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills.append({"name": name, "pid": pid, "at": time.time()})
            return True
        return False

    def crash_api(self):
        """Kill gunicorn's master, and note for how long there was no API: its workers leave, and it must start anew."""
        member, began = self.members["api"], time.time()
        pid = member.process.pid
        if self.kill("api_master", 0):
            wait_until(lambda: member.process.pid != pid and member.children(), what="gunicorn", seconds=READY_SECONDS)
            wait_until(self._ready, what="the API", seconds=READY_SECONDS)
            self.outages.append((began, time.time()))

    def crash_postgres(self):
        self.hands.submit(self.cluster.crash).result()
        self.note("postgres")

    def crash_redis(self, seconds):
        """Kill it, and start it again after a while."""
        self.redis.kill()
        self.note("redis")
        time.sleep(seconds)
        self.hands.submit(self.redis.start).result()

    def ask(self, name, number):
        """Send a member a signal that it is made for."""
        process = self.members[name].process
        if process.poll() is None:
            process.send_signal(number)

    def note(self, name):
        self.kills.append({"name": name, "pid": 0, "at": time.time()})

    def thaw(self, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def hold_lock(self, seconds):
        """A second writer of SQLite's, whom nobody told about the queue."""
        with contextlib.closing(sqlite3.connect(self.folder / "delivery.sqlite3", timeout=5)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.rollback()

    def stop(self):
        """Stop all; returns the names of those that had to be killed."""
        self._ended.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for member in self.members.values():
            member.stop()
        stubborn = [name for name, member in self.members.items() if not member.wait(12)]
        self.listener.close()
        return stubborn


def _signal(processes, number):
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


@contextmanager
def running(database, *, outside, pace="short", bug=""):
    """A system whose stores run and whose database is empty; its members are not started yet."""
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder("faults-"))
        redis = RedisServer(stack.enter_context(short_folder("redis-")))
        stack.callback(redis.kill)
        redis.start()
        cluster = None
        if database == "postgresql":
            cluster = Cluster(stack.enter_context(short_folder("pg-")))
            stack.callback(cluster.stop)
            cluster.start()
        yield System(database, folder=folder, redis=redis, cluster=cluster, outside=outside, pace=pace, bug=bug)
