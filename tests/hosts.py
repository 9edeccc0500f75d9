"""Three hosts in network namespaces: `web`, `work` and `data`; we stand outside as the client and the mail server.

`scripts/try-hosts [SECONDS]` drives the main job, cuts the workers off from database and Redis for so long, goes on
meanwhile, and counts: every mail arrives, none twice, and every answer was a success.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from delivery.ops.leash import leashed
from tests.factories import delivery_in
from tests.servers import redis
from tests.servers.folders import short_folder
from tests.servers.postgres import find_binaries, initialise, reachable, server_user
from tests.servers.smtp import SmtpServer, smtp_server
from tests.servers.waiting import wait_until

NET, OUTSIDE = "10.77.0", "10.77.0.254"
ADDRESSES = {"web": f"{NET}.1", "work": f"{NET}.2", "data": f"{NET}.3"}
API = f"http://{ADDRESSES['web']}:8000"
BIN = Path(sys.executable).parent
PREFIX, BRIDGE = "delivery-", "delivery0"
BEFORE = DURING = AFTER = 10
CUT_SECONDS = 15.0


def ip(*words, check=True):
    subprocess.run(["ip", *words], check=check, capture_output=not check)


@contextmanager
def hosts():
    """Make the namespaces and a bridge between them; all are gone afterwards."""
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for name, address in ADDRESSES.items():
            space, ours = PREFIX + name, f"dl-{name}"
            ip("netns", "add", space)
            ip("link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", ours, "master", BRIDGE, "up")
            for words in (
                ("addr", "add", f"{address}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                ip("-n", space, *words)
        yield
    finally:
        for name in ADDRESSES:
            ip("link", "del", f"dl-{name}", check=False)  # a namespace lives as long as anybody in it
            ip("netns", "del", PREFIX + name, check=False)
        ip("link", "del", BRIDGE, check=False)


class Run:
    """What runs on the hosts."""

    def __init__(self, stack, folder, smtp):
        self.stack, self.folder = stack, folder
        self.environment = {
            **os.environ,
            "DATABASE_URL": f"postgresql://postgres@{ADDRESSES['data']}/postgres",
            "REDIS_URL": f"redis://{ADDRESSES['data']}:6379/0",
            "SECRET_KEY": secrets.token_urlsafe(48), "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "DATA_DIR": str(folder), "HOST": ADDRESSES["web"], "TRUSTED_HOSTS": ADDRESSES["web"],
            "SMTP_HOST": smtp.host, "SMTP_PORT": str(smtp.port), "SMTP_TLS": "none", "FLASK_APP": "wsgi:app",
        }  # fmt: skip

    def on(self, host, *command, user=""):
        """Start a command on a host; it ends with us."""
        words = [
            "ip",
            "netns",
            "exec",
            PREFIX + host,
            *leashed(list(map(str, command)), signal=signal.SIGTERM, user=user),
        ]
        with (self.folder / f"{host}.log").open("ab") as log:
            process = subprocess.Popen(words, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.stack.callback(end, process)
        return process

    def database(self):
        folder = self.stack.enter_context(short_folder("hosts-"))
        user = server_user()
        tools = reachable(find_binaries(), folder=folder, user=user)
        initialise(tools, folder=folder, user=user)
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NET}.0/24 trust\n")
        listen = f"listen_addresses={ADDRESSES['data']}"
        self.on("data", tools / "postgres", "-D", folder / "data", "-k", folder, "-c", listen, user=user)
        self.on("data", redis.binary(), "--bind", ADDRESSES["data"], "--protected-mode", "no", "--save", "")


def end(process):
    """Ask it to end, and see that it does: a PostgreSQL that is asked waits for whoever is still connected."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(path):
    try:
        return requests.get(f"{API}{path}", timeout=2).ok
    except requests.RequestException:
        return False


def sign_in():
    person = {"name": "Ada", "email": "ada@people.example", "password": "a long and quiet password"}
    requests.post(f"{API}/api/users", json=person, timeout=10).raise_for_status()
    answer = requests.post(
        f"{API}/api/auth/login", json={key: person[key] for key in ("email", "password")}, timeout=10
    )
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def deliver(count, headers):
    for _ in range(count):
        requests.post(f"{API}/api/deliveries", json=delivery_in(), headers=headers, timeout=10).raise_for_status()


def drive(smtp, cut_seconds):
    headers = sign_in()
    deliver(BEFORE, headers)
    smtp.wait_for(2 * BEFORE, seconds=30)
    ip("link", "set", "dl-work", "nomaster")
    began = time.monotonic()
    deliver(DURING, headers)
    time.sleep(max(0, cut_seconds - (time.monotonic() - began)))
    say(f"cut for {time.monotonic() - began:.1f} s: {len(smtp.received)} mails so far")
    ip("link", "set", "dl-work", "master", BRIDGE)
    healed = time.monotonic()
    deliver(AFTER, headers)
    whole = 2 * (BEFORE + DURING + AFTER)
    wait_until(lambda: len(about_deliveries(smtp)) >= whole, what=f"{whole} mails", seconds=180)
    say(f"all {whole} mails {time.monotonic() - healed:.1f} s after the network came back")
    time.sleep(3)  # for what would come twice
    ids = about_deliveries(smtp)
    if len(set(ids)) != len(ids) or len(ids) != whole:
        sys.exit(f"{len(ids)} mails, {len(set(ids))} different, {whole} expected")
    say("nothing lost, nothing twice")


def say(line):
    sys.stdout.write(f"{line}\n")


def about_deliveries(smtp):
    return [mail.message["Message-ID"] for mail in smtp.received if mail.message["X-Delivery-Event"] == "created"]


def main(cut_seconds=CUT_SECONDS):
    if os.geteuid() != 0:
        sys.exit("try-hosts: needs root, for network namespaces")
    SmtpServer.host = OUTSIDE
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(hosts())
        smtp = stack.enter_context(smtp_server())
        run = Run(stack, folder, smtp)
        try:
            run.database()
            wait_until(
                lambda: run.on("data", BIN / "flask", "db", "upgrade").wait() == 0, what="the schema", seconds=60
            )
            run.on(
                "web",
                BIN / "gunicorn",
                "--config",
                "gunicorn.conf.py",
                "--bind",
                f"{ADDRESSES['web']}:8000",
                "wsgi:app",
            )
            run.on("work", BIN / "flask", "worker")
            run.on("work", BIN / "flask", "cron")
            wait_until(lambda: answers("/readyz"), what="the API", seconds=60)
            drive(smtp, cut_seconds)
        except Exception:
            for log in folder.glob("*.log"):
                say("\n".join([f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-15:]]))
            raise


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
