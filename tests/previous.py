"""The release before serves while today's code migrates the database below it: `scripts/try-previous [REVISION]`.

Its code comes from git: by default that of the last commit before the newest migration. Its gunicorn, worker and sweep
run on a PostgreSQL of its schema; clients create, move and list without a pause, and `flask db upgrade` is today's. No
request may fail, all that was acknowledged must be stored once, and every message must have been sent.
"""

import io
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from http import HTTPStatus

import psycopg
import requests

from delivery.ops.leash import leashed
from tests.factories import delivery_in
from tests.servers.folders import short_folder
from tests.servers.postgres import DURABLE, postgres_server
from tests.servers.redis import redis_server
from tests.servers.smtp import smtp_server
from tests.servers.system import ROOT, free_port
from tests.servers.waiting import wait_until

CLIENTS = 4
BEFORE_SECONDS, AFTER_SECONDS = 5, 10
PAUSE_SECONDS = 0.02
ADMIN = {"email": "ada@people.example", "password": "a long and quiet password"}


def before_newest_migration():
    """The commit before the one that added the newest file of migrations/versions; HEAD while that is in none yet."""
    newest = max(path.name for path in (ROOT / "migrations" / "versions").glob("*.py"))
    added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", f"migrations/versions/{newest}")
    return f"{added}^" if added else "HEAD"


def git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"try-previous: git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def unpack(revision, folder):
    """The code of a revision, in a folder."""
    packed = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


class Site:
    """What both releases share: the stores, the settings and the logs; each command says whose code it runs."""

    def __init__(self, stack, folder, *, database_url, redis, smtp):
        self.stack, self.folder, self.port = stack, folder, free_port()
        self.database = database_url.replace("+psycopg", "")
        self.environment = {
            "PATH": os.environ["PATH"], "FLASK_APP": "wsgi:app", "DATA_DIR": str(folder / "data"),
            "DATABASE_URL": database_url, "REDIS_URL": redis.url, "PORT": str(self.port),
            "SECRET_KEY": secrets.token_urlsafe(48), "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "SMTP_HOST": smtp.host, "SMTP_PORT": str(smtp.port), "SMTP_TLS": "none",
            "WEB_WORKERS": "2", "LOG_LEVEL": "WARNING",
            "API_REQUESTS_PER_MINUTE": "1000000", "ANONYMOUS_REQUESTS_PER_MINUTE": "1000000",
        }  # fmt: skip

    def run(self, code, *words, given=None):
        """A command of that code, to its end; its failure is ours."""
        command = [sys.executable, "-m", *words]
        with (self.folder / "commands.log").open("a") as log:
            subprocess.run(
                command, cwd=code, env=self._of(code), input=given, text=True, check=True, stdout=log, stderr=log
            )

    def start(self, code, *words):
        """A command of that code that lasts as long as we do."""
        command = leashed([sys.executable, "-m", *words], signal=signal.SIGTERM)
        with (self.folder / f"{words[-1]}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=code, env=self._of(code), stdout=log, stderr=log)
        self.stack.callback(process.wait, timeout=60)
        self.stack.callback(process.terminate)

    def _of(self, code):
        return self.environment | {"PYTHONPATH": str(code)}

    def rows(self, query):
        with psycopg.connect(self.database) as connection:
            return connection.execute(query).fetchall()

    def schema(self):
        return self.rows("SELECT version_num FROM alembic_version")[0][0]


class Load:
    """Clients that create, move, read and list deliveries, and what came of it."""

    def __init__(self, port):
        self.api = f"http://127.0.0.1:{port}/api"
        self.created, self.moved, self.failures, self.took = [], [], [], []
        self.ended = threading.Event()
        self.clients = [threading.Thread(target=self._client) for _ in range(CLIENTS)]

    def __enter__(self):
        answer = requests.post(f"{self.api}/auth/login", json=ADMIN, timeout=30)
        answer.raise_for_status()
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for client in self.clients:
            client.join()

    def _client(self):
        with requests.Session() as session:
            session.headers.update(self.headers)
            while not self.ended.is_set():
                self._round(session)

    def _round(self, session):
        made = self._ask(session, "POST", "", HTTPStatus.CREATED, json=delivery_in())
        self._ask(session, "GET", "?limit=20", HTTPStatus.OK)
        if made is None:
            return
        self.created.append(made["id"])
        if self._ask(session, "POST", f"/{made['id']}/transitions", HTTPStatus.OK, json={"to": "picked_up"}):
            self.moved.append(made["id"])
        self._ask(session, "GET", f"/{made['id']}/events", HTTPStatus.OK)

    def _ask(self, session, method, path, wanted, **body):
        began = time.monotonic()
        try:
            answer = session.request(method, f"{self.api}/deliveries{path}", timeout=30, **body)
            told = None if answer.status_code == wanted else f"{answer.status_code} {answer.text[:300]}"
        except requests.RequestException as error:
            told = repr(error)
        self.took.append(time.monotonic() - began)
        self.ended.wait(PAUSE_SECONDS)
        if told:
            self.failures.append(f"{method} {path} {told}")
            return None
        return answer.json()


def answers(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


def sent(site):
    """Whether no message waits any more."""
    return not site.rows("SELECT 1 FROM outbox_messages WHERE state IN ('pending', 'sending') LIMIT 1")


def untrue(site, load):
    """What is acknowledged and not stored, or the other way round; and what is not where it was moved to."""
    states = {str(key): state for key, state in site.rows("SELECT id, status FROM deliveries")}
    moved = [key for key in load.moved if states.get(key) != "picked_up"]
    return sorted({*load.created} ^ {*states}), moved


def verdict(site, load):
    """Print what was found; whether anything is wrong."""
    absent, unmoved = untrue(site, load)
    messages = Counter(dict(site.rows("SELECT state, count(*) FROM outbox_messages GROUP BY state")))
    usual, worst = (f"{1000 * took:.0f} ms" for took in (statistics.median(load.took), max(load.took)))
    say(f"{len(load.took)} requests, {len(load.failures)} failed; the usual took {usual}, the slowest {worst}")
    say(f"{len(load.created)} created, of which {len(absent)} are not stored, or stored and not acknowledged")
    say(f"{len(load.moved)} moved, of which {len(unmoved)} are somewhere else")
    say(f"messages: {', '.join(f'{count} {state}' for state, count in sorted(messages.items()))}")
    for failure in load.failures[:10]:
        say(failure)
    healthy = set(messages) <= {"sent"} and load.created and load.moved
    return bool(load.failures or absent or unmoved or not healthy)


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def drive(site, before):
    """The old release serves, the new one migrates, the old one goes on."""
    site.run(before, "flask", "db", "upgrade")
    admin = ("--email", ADMIN["email"], "--name", "Ada")
    site.run(before, "flask", "users", "create-admin", *admin, given=ADMIN["password"])
    older = site.schema()
    for words in (("flask", "worker"), ("flask", "cron"), ("gunicorn",)):
        site.start(before, *words)
    wait_until(lambda: answers(site.port), what="the release before", seconds=60)
    with Load(site.port) as load:
        time.sleep(BEFORE_SECONDS)
        began, asked = time.monotonic(), len(load.took)
        site.run(ROOT, "flask", "db", "upgrade")
        spent, meanwhile = time.monotonic() - began, len(load.took) - asked
        time.sleep(AFTER_SECONDS)
    say(f"schema {older} -> {site.schema()} in {spent:.1f} s, {meanwhile} requests meanwhile")
    if older == site.schema():
        sys.exit("try-previous: nothing was migrated")
    wait_until(lambda: sent(site), what="every message", seconds=120)
    return verdict(site, load)


def main(revision=None):
    """Do it once; fails when a request did, or anything was lost."""
    revision = git("rev-parse", "--verify", f"{revision or before_newest_migration()}^{{commit}}")
    say(f"the release before: {git('log', '-1', '--format=%h %cs %s', revision)}")
    with ExitStack() as servers:
        smtp, redis = servers.enter_context(smtp_server()), servers.enter_context(redis_server())
        cluster = servers.enter_context(postgres_server(settings=DURABLE))
        url = servers.enter_context(cluster.database())
        folder = servers.enter_context(short_folder("previous-"))
        unpack(revision, folder / "code")
        (folder / "data").mkdir()
        site = Site(servers.enter_context(ExitStack()), folder, database_url=url, redis=redis, smtp=smtp)
        failed = True
        try:
            failed = drive(site, folder / "code")
        finally:
            if failed:
                for log in folder.glob("*.log"):
                    say("\n".join([f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-25:]]))
        return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
