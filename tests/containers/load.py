# ruff: noqa: T201  a script that prints
"""Clients that never pause for long: they read and create deliveries until SIGTERM, and tell of what is no 2xx.

`load.py URL HOST PASSWORD EMAIL...`: of each account one client keeps its connection and one makes a new one each time.
Standard library only. The last line is JSON; the exit code is 1 when anything failed.
"""

import json
import signal
import ssl
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

# Eight clients stay below what nginx lets one address ask (nginx/parts/limits.conf).
PAUSE_SECONDS = 0.08
NEW = {
    "item_name": "Load",
    "recipient": {"name": "Grace Doorstep", "email": "grace@home.example"},
    "destination": {"line1": "12 Harbour Street", "city": "Bristol", "country": "GB"},
}
ended = threading.Event()
seen = Counter()
failures = []
slowest = 0.0


def connect(url):
    parts = urlsplit(url)
    if parts.scheme == "http":
        return HTTPConnection("127.0.0.1", parts.port, timeout=30)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection("127.0.0.1", parts.port, timeout=30, context=context)


def ask(connection, method, path, *, headers, body=None):
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def client(url, headers, *, keeps):
    """Ask in turn: a list, a creation with a key, one delivery, a creation without a key."""
    global slowest  # noqa: PLW0603  a figure of the whole run
    connection, path = connect(url), "/api/deliveries"
    turn = 0
    while not ended.is_set():
        turn += 1
        method = "POST" if turn % 2 else "GET"
        own = {**headers, **({"Idempotency-Key": uuid.uuid4().hex} if turn % 4 == 1 else {})}
        target = "/api/deliveries" if turn % 2 else path
        began = time.monotonic()
        try:
            status, content = ask(connection, method, target, headers=own, body=NEW if turn % 2 else None)
        except (OSError, HTTPException) as error:
            status, content = type(error).__name__, str(error).encode()
            connection.close()
        took = time.monotonic() - began
        slowest = max(slowest, took)
        seen[f"{method} {'kept' if keeps else 'new'} {status}"] += 1
        if status == 201:
            path = f"/api/deliveries/{json.loads(content)['id']}" if turn % 4 == 1 else "/api/deliveries?limit=5"
        elif status != 200:
            failures.append(status)
            print(time.strftime("%T"), method, target, status, f"{took:.2f} s", content[:200], flush=True)
        if not keeps:
            connection.close()
        ended.wait(PAUSE_SECONDS)


def main(url, host, password, *emails):
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    threads = []
    for email in emails:
        headers = {"Host": host, "Content-Type": "application/json"}
        with closing(connect(url)) as connection:
            status, content = ask(
                connection, "POST", "/api/auth/login", headers=headers, body={"email": email, "password": password}
            )
        if status != 200:
            sys.exit(f"login: {status} {content!r}")
        headers["Authorization"] = f"Bearer {json.loads(content)['access_token']}"
        threads += [
            threading.Thread(target=client, args=(url, headers), kwargs={"keeps": keeps}) for keeps in (True, False)
        ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    print("started", flush=True)
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    total = sum(seen.values())
    print(
        json.dumps(
            {
                "requests": total,
                "failed": len(failures),
                "created": sum(count for kind, count in seen.items() if kind.endswith(" 201")),
                "per_second": round(total / seconds),
                "slowest_s": round(slowest, 2),
                "seen": seen,
            }
        ),
        flush=True,
    )
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
