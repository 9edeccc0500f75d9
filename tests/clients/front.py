"""A proxy on loopback between a client and the API: it loses answers, gives others, and counts."""

import http.client
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.servers.script import Script

HOP = {"connection", "transfer-encoding", "server", "date"}


class Front:
    """What was asked, and what goes wrong next. times=None: always."""

    def __init__(self, port):
        self.behind = port
        self.asked = []  # (method, path, headers), in order
        self.script = Script()
        self.url = ""

    def lose_answer(self, *, method="POST", times=1):
        """Let the API do it, and reset the connection in the place of its answer."""
        self._add(Handler.lose, method, times)

    def halve_answer(self, *, method="POST", times=1):
        """Let the API do it, and break off in the middle of the answer."""
        self._add(Handler.halve, method, times)

    def hang(self, *, method="POST", times=1):
        """Let the API do it, and say nothing until the client has gone."""
        self._add(Handler.hang, method, times)

    def answer(self, status, *, headers=None, body=b"<h1>Not now</h1>", method="POST", times=1):
        """Answer in the API's place, which learns of nothing."""
        self._add(lambda handler: handler.say(status, headers or {}, body), method, times)

    def _add(self, fault, method, times):
        self.script.add(fault, times=times, when=lambda asked: asked == method)

    def of(self, method):
        return [(path, headers) for asked, path, headers in self.asked if asked == method]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        front = self.server.front
        self.sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        front.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        fault = front.script.take(self.command)
        fault(self) if fault else self.say(*self.ask())

    def __getattr__(self, name):
        """Return what answers a method, whichever it is."""
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def ask(self):
        """What the API answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.front.behind, timeout=20)
        try:
            connection.request(self.command, self.path, self.sent or None, dict(self.headers.items()))
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def say(self, status, headers, body):
        self.send_response(status)
        headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def lose(self):
        self.ask()
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def halve(self):
        status, _, body = self.ask()
        self.close_connection = True
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body[: len(body) // 2])

    def hang(self):
        self.ask()
        self.close_connection = True
        self.connection.settimeout(20)
        self.rfile.read(1)

    def log_message(self, *_):
        """Say nothing: the test's output is for the test."""


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that gave up waiting is part of some tests."""


@contextmanager
def front_of(port):
    """Start a proxy of the server on `port`; stop it at the end."""
    front = Front(port)
    with Listener(("127.0.0.1", 0), Handler) as listener:
        listener.front = front
        front.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield front
        finally:
            listener.shutdown()
            thread.join(timeout=10)
