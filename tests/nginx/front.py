"""A real nginx with the files of nginx/, of which only the places are others: folders, ports and the name server."""

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from tests.nginx.stubs import Names, container
from tests.servers.certificate import server_context
from tests.servers.folders import short_folder
from tests.servers.system import free_port
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
PATH = f"{os.environ['PATH']}:/usr/sbin"
NGINX = shutil.which("nginx", path=PATH)
# Debian 12's has no directive for it yet.
HTTP2_DIRECTIVE = (1, 25, 1)


def version():
    said = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
    return tuple(map(int, re.search(r"(\d+)\.(\d+)\.(\d+)", said).groups()))


class Front:
    """nginx, two containers behind it, of which the second is not known yet, and what both did."""

    def __init__(self, folder, server, changes):
        self.folder, self.names = folder, Names()
        self.port, self.tls_port, self.web_port, health = (free_port() for _ in range(4))
        places = {
            "/etc/nginx": str(folder),
            "/tmp/": f"{folder}/tmp/",
            "/var/www/acme": f"{folder}/acme",
            "/dev/stdout": f"{folder}/access.log",
            "/dev/stderr": f"{folder}/error.log",
            "127.0.0.11": f"127.0.0.1:{self.names.port}",
            "valid=2s": "valid=1s",
            "listen 8080": f"listen 127.0.0.1:{self.port}",
            "listen 8443 ssl": f"listen 127.0.0.1:{self.tls_port} ssl",
            "127.0.0.1:8081": f"127.0.0.1:{health}",
            ":8000": f":{self.web_port}",
        }
        if version() < HTTP2_DIRECTIVE:
            places |= {"http2 on;": "", "listen 8443 ssl": f"listen 127.0.0.1:{self.tls_port} ssl http2"}
        self._write(server, changes, places)
        self.arguments = [NGINX, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]
        self.process, self._pointed = None, 0.0

    def _write(self, server, changes, places):
        for name in ("conf.d", "parts", "tmp", "tls", "acme/.well-known/acme-challenge"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "mime.types").write_text("types {}")
        files = {name: ROOT / "nginx" / name for name in ("nginx.conf", *map(str, _parts()))}
        for name, path in (files | {"conf.d/default.conf": ROOT / "nginx" / server}).items():
            text = path.read_text()
            for old in [old for old in changes if old in text]:
                text = text.replace(old, changes[old])
            text = re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], text)
            (self.folder / name).write_text(text)
        server_context(self.folder / "tls")
        (self.folder / "tls/certificate.pem").rename(self.folder / "tls/fullchain.pem")
        (self.folder / "tls/key.pem").rename(self.folder / "tls/privkey.pem")

    def check(self):
        """`nginx -t`."""
        return subprocess.run([*self.arguments, "-t"], capture_output=True, text=True, check=False)

    def start(self):
        self.process = subprocess.Popen([*self.arguments, "-g", "daemon off;"], stderr=subprocess.PIPE)
        wait_until(self._listens, what="nginx", seconds=10)

    def _listens(self):
        if self.process.poll() is not None:
            raise RuntimeError(self.process.stderr.read().decode())
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def point_at(self, *addresses):
        """Have the name stand for these addresses."""
        if self.names.addresses != list(addresses):
            self.names.addresses, self._pointed = list(addresses), time.monotonic()

    def settle(self):
        """Wait until all of nginx's processes know: each keeps an answer for itself, for whole seconds."""
        time.sleep(max(0.0, self._pointed + 2.1 - time.monotonic()))

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.communicate(timeout=10)
        self.names.close()

    def ask(self, method, path, *, body=None, tls=False, **headers):
        """(status, headers, body) of one request."""
        if tls:
            context = ssl.create_default_context(cafile=self.folder / "tls/fullchain.pem")
            connection = http.client.HTTPSConnection("localhost", self.tls_port, timeout=10, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def raw(self, text):
        """The answer to these bytes: its head, an empty line, and the body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as one:
            one.sendall(text.encode())
            answer = http.client.HTTPResponse(one)
            answer.begin()
            head = [f"HTTP/1.1 {answer.status} ", *(f"{name}: {value}" for name, value in answer.getheaders())]
            return "\r\n".join((*head, "", answer.read().decode()))

    def logged(self):
        """The lines of the access log."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]


def _parts():
    return [path.relative_to(ROOT / "nginx") for path in (ROOT / "nginx/parts").iterdir()]


@contextmanager
def front(server="plain.conf", changes=()):
    """A running Front with both of its containers."""
    with short_folder("nginx-") as folder:
        folder.chmod(0o755)
        it = Front(folder, server, dict(changes))
        try:
            with container("127.0.0.2", it.web_port) as it.first, container("127.0.0.3", it.web_port) as it.second:
                it.names.addresses = ["127.0.0.2"]
                it.start()
                yield it
        finally:
            it.stop()
