"""scripts/nginx-host: nginx's files for a host without containers, for the nginx that is there."""

import os
import re
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.nginx.front import NGINX, PATH
from tests.nginx.stubs import container
from tests.servers.certificate import server_context
from tests.servers.folders import short_folder
from tests.servers.system import free_port
from tests.servers.waiting import wait_until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "nginx-host"


def put(folder, *, path=PATH):
    return subprocess.run([SCRIPT, folder], env={"PATH": path}, capture_output=True, text=True, check=False)


@pytest.fixture
def put_for(tmp_path):
    """Call with the version that nginx shall tell; what was written, by name."""
    target = tmp_path / "etc"
    target.mkdir()

    def call(version):
        program = tmp_path / "nginx"
        program.write_text(f"#!/bin/sh\necho nginx version: nginx/{version} >&2\n")
        program.chmod(0o755)
        done = put(target, path=f"{tmp_path}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
        return {str(path.relative_to(target)): path.read_text() for path in target.rglob("*.conf")}

    return call


@pytest.mark.parametrize("version", ["1.18.0", "1.22.1", "1.25.0"])
def test_an_older_nginx_gets_http2_as_it_knows_it(put_for, version):
    server = put_for(version)["conf.d/default.conf"]
    assert "listen 443 ssl http2 default_server;" in server
    assert "http2 on;" not in server


@pytest.mark.parametrize("version", ["1.25.1", "1.26.3", "1.100.0"])
def test_a_newer_nginx_gets_it_as_the_container_does(put_for, version):
    server = put_for(version)["conf.d/default.conf"]
    assert "listen 443 ssl default_server;" in server
    assert "    http2 on;\n" in server


def test_nothing_of_the_container_is_left(put_for, tmp_path):
    files = put_for("1.28.0")
    assert set(files) == {
        "nginx.conf", "conf.d/default.conf", *(f"parts/{path.name}" for path in (ROOT / "nginx/parts").iterdir())
    }  # fmt: skip
    for name, text in files.items():
        assert not re.search(
            r"(?m)^[^#\n]*(/tmp|/dev/std|8080|8443|127\.0\.0\.11|/etc/nginx|resolver)", text.replace(str(tmp_path), "")
        ), name
    assert "\nset $delivery_web 127.0.0.1;\n" in files["parts/app.conf"]
    assert "\npid /run/nginx.pid;\n" in files["nginx.conf"]


def test_what_is_the_hosts_own_stays(put_for, tmp_path):
    put_for("1.28.0")
    own = tmp_path / "etc/parts/known_addresses.conf"
    own.write_text("10.20.30.40/32 1;\n")
    (tmp_path / "etc/parts/limits.conf").write_text("of the release before")
    files = put_for("1.28.0")
    assert files["parts/known_addresses.conf"] == own.read_text() == "10.20.30.40/32 1;\n"
    assert "limit_req_zone" in files["parts/limits.conf"]


@pytest.mark.parametrize(("words", "path"), [(["/no/such/folder"], PATH), (["--folder"], PATH), ([], "/usr/bin:/bin")])
def test_where_nothing_can_be_written_it_says_so(tmp_path, words, path):
    (tmp_path / "nginx").symlink_to("/bin/true")
    done = subprocess.run([SCRIPT, *words], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("nginx-host: ")


@pytest.mark.skipif(not NGINX, reason="there is no nginx here (Debian: apt install nginx)")
def test_the_nginx_of_this_host_takes_it_and_speaks_http2():
    ports = {"443 ssl": free_port(), "80 default": free_port(), ":8081": free_port(), ":8000": free_port()}
    with short_folder("nginx-") as folder, container("127.0.0.1", ports[":8000"]):
        assert put(folder).returncode == 0
        make_it_ours(folder, ports)
        command = [NGINX, "-p", folder, "-e", folder / "early.log", "-c", folder / "nginx.conf"]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert "test is successful" in checked.stderr, checked.stderr
        assert "[warn]" not in checked.stderr
        with subprocess.Popen([*command, "-g", "daemon off;"]) as nginx:
            try:
                assert spoken(folder, ports["443 ssl"]) == ("h2", b"HTTP/1.1 200 OK")
            finally:
                nginx.terminate()


def make_it_ours(folder, ports):
    """Other ports and places, that anybody may have; and a certificate."""
    places = {
        "/var/cache/nginx": str(folder), "/var/log/nginx": str(folder), "/run/": f"{folder}/",
        **{name: re.sub(r"\d+", str(port), name, count=1) for name, port in ports.items()},
    }  # fmt: skip
    for path in folder.rglob("*.conf"):
        path.write_text(re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], path.read_text()))
    (folder / "mime.types").write_text("types {}")
    server_context(folder / "tls")
    (folder / "tls/certificate.pem").rename(folder / "tls/fullchain.pem")
    (folder / "tls/key.pem").rename(folder / "tls/privkey.pem")


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def spoken(folder, port):
    """(what TLS agrees on, the first line of the answer by HTTP/1.1)."""
    wait_until(lambda: listens(port), what="nginx", seconds=10)
    context = ssl.create_default_context(cafile=folder / "tls/fullchain.pem")
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as one:
        agreed = one.selected_alpn_protocol()
    context.set_alpn_protocols(["http/1.1"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as one:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return agreed, one.recv(4096).partition(b"\r\n")[0]
