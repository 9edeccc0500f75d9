"""A receiver of webhooks on loopback: scripted answers, challenges answered, every request and connection counted.

Without a script it answers 204 to whatever comes, and a challenge (`endpoint.verify`) as docs/api/webhooks.md asks.
"""

import contextlib
import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.servers.script import Script

CHUNK = b"x" * 16384


@dataclass(frozen=True)
class Received:
    """One request; the names of its headers in lower case."""

    path: str
    headers: dict
    body: bytes
    at: float  # time.time(), before it was answered

    @property
    def id(self):
        return self.headers.get("webhook-id")

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def type(self):
        return self.json["type"]


class Receiver:
    """What arrived, and what goes wrong next; `path` limits a fault to one path. times=None: always."""

    def __init__(self):
        self.requests = []  # Received, in order, refused ones included
        self.connections = 0  # accepted, whatever came over them
        self.answers_challenges = True
        self.delay = 0.0  # seconds before every answer
        self.script = Script()
        self.url = ""
        self.port = 0
        self.stopping = threading.Event()  # ends drips and hangs

    def answer(self, status, *, body=b"", headers=None, path=None, times=1):
        """Answer with this."""
        self._add(lambda handler: handler.answer(status, body, headers or {}), path=path, times=times)

    def fail(self, status=500, **which):
        self.answer(status, body=b"It broke.", **which)

    def redirect(self, to, status=302, **which):
        self.answer(status, headers={"Location": to}, **which)

    def limit(self, retry_after=1, status=429, **which):
        """Ask to come back later, in seconds or at an HTTP date."""
        self.answer(status, headers={"Retry-After": str(retry_after)}, **which)

    def gone(self, **which):
        self.answer(410, **which)

    def drip(self, *, head=False, seconds=1.0, path=None, times=1):
        """Answer one byte at a time, for ever: the body, or (head) already the headers."""
        self._add(lambda handler: handler.drip(head=head, seconds=seconds), path=path, times=times)

    def endless(self, *, path=None, times=1):
        """Answer 200 with a body that does not end."""
        self._add(lambda handler: handler.endless(), path=path, times=times)

    def hang(self, *, path=None, times=1):
        """Take the request and say nothing."""
        self._add(lambda handler: handler.hang(), path=path, times=times)

    def reset(self, *, path=None, times=1):
        """Take the request and reset the connection: the sender cannot know."""
        self._add(lambda handler: handler.reset(), path=path, times=times)

    def nonsense(self, *, path=None, times=1):
        """Answer what is no HTTP."""
        self._add(lambda handler: handler.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), path=path, times=times)

    def _add(self, fault, *, path, times):
        self.script.add(fault, times=times, when=lambda asked: path in {None, asked})

    def of_type(self, name):
        return [request for request in self.requests if request.type == name]

    def clear(self):
        self.requests.clear()
        self.script.clear()
        self.connections, self.delay, self.answers_challenges = 0, 0.0, True


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "Listener"

    def do_POST(self):
        receiver, size = self.server.receiver, int(self.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(size)
        if len(body) < size:  # whoever sent it was killed over it: no server would take it for a request
            self.close_connection = True
            return
        request = Received(self.path, headers, body, time.time())
        receiver.requests.append(request)
        fault = receiver.script.take(self.path)
        receiver.stopping.wait(receiver.delay)
        with contextlib.suppress(OSError):  # a sender that has had enough is part of many tests
            fault(self) if fault else self.receive(request)

    def receive(self, request):
        challenge = _challenge_in(request)
        if challenge and self.server.receiver.answers_challenges:
            answer = json.dumps({"challenge": challenge}).encode()
            self.answer(200, answer, {"Content-Type": "application/json"})
        else:
            self.answer(204, b"", {})

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self, *, head, seconds):
        self.close_connection = True
        begun = b"" if head else b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        self.wfile.write(begun)
        rest = b"HTTP/1.1 200 OK\r\nX-Slow: " if head else b""
        while not self.server.receiver.stopping.wait(seconds):
            self.wfile.write(rest[:1] or b"x")
            rest = rest[1:]

    def endless(self):
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not self.server.receiver.stopping.is_set():
            self.wfile.write(CHUNK)

    def hang(self):
        self.close_connection = True
        self.connection.settimeout(60)
        self.rfile.read(1)  # until the sender gives up

    def reset(self):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def raw(self, data):
        self.close_connection = True
        self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing: the test's output is for the test."""


def _challenge_in(request):
    try:
        body = request.json
        return body["data"]["challenge"] if body["type"] == "endpoint.verify" else None
    except (ValueError, LookupError, TypeError):
        return None


class Listener(ThreadingHTTPServer):
    """Threads that end with the process; a client that hangs up is no news."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, receiver, *, host, port, tls):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)
        self.receiver, self.tls = receiver, tls

    def process_request(self, request, client_address):
        self.receiver.connections += 1
        super().process_request(request, client_address)

    def finish_request(self, request, client_address):
        """Shake hands in the connection's own thread."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, *_):
        """A client that gave up waiting, or trusts us not, is part of many tests."""


@contextmanager
def webhook_receiver(*, host="127.0.0.1", port=0, tls=None):
    """Start a receiver on a loopback port in a thread; stop it at the end. `tls`: a server's SSLContext."""
    receiver = Receiver()
    with Listener(receiver, host=host, port=port, tls=tls) as listener:
        receiver.port = listener.server_port
        shown = f"[{host}]" if ":" in host else host
        receiver.url = f"{'https' if tls else 'http'}://{shown}:{receiver.port}"
        thread = threading.Thread(
            target=listener.serve_forever, kwargs={"poll_interval": 0.05}, name="receiver", daemon=True
        )
        thread.start()
        try:
            yield receiver
        finally:
            receiver.stopping.set()
            listener.shutdown()
            thread.join(timeout=10)
