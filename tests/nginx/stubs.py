"""What stands behind nginx in these tests: containers, and the name server that knows their addresses."""

import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANGS = "hangs"


class Container(ThreadingHTTPServer):
    """A web container at an address of its own: answers with `headers`, or hangs, and keeps what it was asked."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address, port):
        super().__init__((address, port), _Asked)
        self.forget()

    def forget(self):
        self.asked, self.status, self.headers, self.body, self.seconds = [], 200, {}, b"{}", 0
        self.written, self.begun = False, []

    def hang(self):
        self.status = HANGS


class _Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece

    def answer(self):
        server = self.server
        server.begun.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.asked.append((self.command, self.path, dict(self.headers), body))
        if server.status == HANGS:
            self.close_connection = True
            time.sleep(3)
            return
        time.sleep(server.seconds)
        self.send_response(server.status)
        for name, value in {"Content-Length": str(len(server.body)), **server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(server.body)
        self.wfile.flush()
        server.written = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815  http.server's names

    def log_message(self, *_arguments):
        pass


@contextmanager
def container(address, port):
    with Container(address, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Names:
    """A name server (RFC 1035) that gives `addresses` for every name, for a second."""

    def __init__(self):
        self.addresses = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            question, client = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), client)

    def _answer(self, question):
        asked = question[12:]
        count = len(self.addresses).to_bytes(2, "big")
        head = question[:2] + b"\x81\x80" + question[4:6] + count + b"\0\0\0\0"
        records = (b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(one) for one in self.addresses)
        return head + asked + b"".join(records)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()
