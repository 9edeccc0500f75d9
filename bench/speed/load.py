"""Sending prepared requests over kept connections for some seconds, by wrk or, where there is none, by client.py."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TRIES = 3


@dataclass(frozen=True)
class Load:
    """What one run came to; times in seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    not_2xx: int
    broken: int


def write_requests(path, requests):
    """Write prepared requests, each behind its length, for run()."""
    path.write_bytes(b"".join(b"%d\n%b" % (len(one), one) for one in requests))


def http_request(method, path, *, token=None, body=None):
    """Return the bytes of a request; `body` becomes JSON."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    content = b"" if body is None else json.dumps(body).encode()
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def generator():
    """Return the name of what makes the load here."""
    return "wrk" if shutil.which("wrk") else "client.py"


def run(requests, *, port, seconds, connections):
    """Send the requests of a file in turn for `seconds`.

    Raises:
        RuntimeError: nothing was answered, or the machine's clock jumped, which wrk measures by.
    """
    for _ in range(TRIES):
        began = time.monotonic()
        load = _once(requests, port=port, seconds=seconds, connections=connections)
        if load.requests and abs(load.seconds - (time.monotonic() - began)) < 0.1 * seconds + 0.5:
            return load
    raise RuntimeError("no answer within the time of the load, or a clock that jumps: nothing to measure")


def _once(requests, *, port, seconds, connections):
    url, sizes = f"http://127.0.0.1:{port}", (str(seconds), str(connections))
    if generator() == "wrk":
        options = ["--threads", "1", "--duration", f"{sizes[0]}s", "--connections", sizes[1], "--timeout", "10s"]
        command = ["wrk", *options, "--script", HERE / "wrk.lua", url, "--", requests]
    else:
        command = [sys.executable, HERE / "client.py", requests, str(port), *sizes]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in output.splitlines() if line.startswith("RESULT")]
    count, duration, p50, p99, not_2xx, broken = map(int, line.split()[1:])
    return Load(count, duration / 1e6, p50 / 1e6, p99 / 1e6, not_2xx, broken)
