"""TLS: what tls.conf adds, and what becomes of a wrong certificate."""

import json
import shutil
import signal
import ssl
import subprocess

import pytest

from tests.nginx.front import Front, front
from tests.servers.folders import short_folder
from tests.servers.waiting import wait_until


def has_http2():
    return bool(shutil.which("curl")) and "HTTP2" in subprocess.check_output(["curl", "--version"], text=True)


def test_everything_goes_by_tls_and_says_so_for_two_years(with_tls):
    status, headers, _ = with_tls.ask("GET", "/api/deliveries", tls=True)
    assert (status, headers["Strict-Transport-Security"]) == (200, "max-age=63072000")
    assert with_tls.first.asked[0][2]["X-Forwarded-Proto"] == "https"
    for path in ("/metrics", "/track/7K3M"):
        assert with_tls.ask("GET", path, tls=True)[1]["Strict-Transport-Security"] == "max-age=63072000"

    status, headers, _ = with_tls.ask("POST", "/api/deliveries?a=b", body=b"{}", Host="delivery.example")
    assert (status, headers["Location"]) == (308, "https://delivery.example/api/deliveries?a=b")
    assert "Strict-Transport-Security" not in headers
    assert with_tls.ask("GET", "/", Host="a/b")[0] == 400


def test_a_certificate_authority_finds_its_proof_and_nothing_else(with_tls):
    (with_tls.folder / "acme/.well-known/acme-challenge/a-token").write_text("a-token.of-a-key")
    (with_tls.folder / "acme/secret").write_text("secret")
    assert with_tls.ask("GET", "/.well-known/acme-challenge/a-token")[::2] == (200, b"a-token.of-a-key")
    status, headers, _ = with_tls.ask("GET", "/.well-known/acme-challenge/other")
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert with_tls.ask("GET", "/.well-known/acme-challenge/../../secret")[0] == 308


@pytest.mark.skipif(not has_http2(), reason="no curl that speaks HTTP/2 is installed")
@pytest.mark.parametrize("length", [2_000_000, 20_000_000])
def test_too_large_a_body_is_a_problem_over_http2_too(with_tls, length, tmp_path):
    large, answer = tmp_path / "large", tmp_path / "answer"
    large.write_bytes(b"x" * length)
    command = ["curl", "--silent", "--insecure", "--http2", "--data-binary", f"@{large}", "--output", answer]
    command += [
        "--write-out",
        "%{http_version} %{http_code} %{content_type}",
        f"https://localhost:{with_tls.tls_port}/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.stdout == "2 413 application/problem+json"
    assert json.loads(answer.read_text())["code"] == "request_entity_too_large"
    assert with_tls.first.asked == []


def test_plain_http_to_the_tls_port_is_a_problem(with_tls):
    with_tls.port, plain = with_tls.tls_port, with_tls.port
    try:
        status, headers, _ = with_tls.ask("GET", "/")
    finally:
        with_tls.port = plain
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("broken", ["missing", "garbage", "of another key"])
def test_without_a_good_certificate_it_says_so_in_a_line_and_does_not_start(broken, tmp_path):
    with short_folder("nginx-") as folder:
        it = Front(folder, "tls.conf", {})
        chain = folder / "tls/fullchain.pem"
        if broken == "missing":
            chain.unlink()
        elif broken == "garbage":
            chain.write_text("no certificate")
        else:
            with front("tls.conf") as other:
                chain.write_bytes((other.folder / "tls/fullchain.pem").read_bytes())
        result = it.check()
        it.stop()
    told = [line for line in result.stderr.splitlines() if "[emerg]" in line]
    assert (result.returncode, len(told)) == (1, 1), result.stderr
    assert "/tls/" in told[0]


def test_a_reload_takes_a_new_certificate_and_keeps_the_old_one_when_it_is_bad(with_tls):
    chain, key = with_tls.folder / "tls/fullchain.pem", with_tls.folder / "tls/privkey.pem"
    old = chain.read_text()
    with front("tls.conf") as other:
        new = (other.folder / "tls/fullchain.pem").read_text(), (other.folder / "tls/privkey.pem").read_text()

    chain.write_text("no certificate")
    with_tls.process.send_signal(signal.SIGHUP)
    errors = with_tls.folder / "error.log"
    wait_until(lambda: "[emerg]" in errors.read_text(), what="a line about the certificate")
    assert served(with_tls) == old

    chain.write_text(new[0])
    key.write_text(new[1])
    with_tls.process.send_signal(signal.SIGHUP)
    wait_until(lambda: served(with_tls) == new[0], what="the new certificate")


def served(front):
    return ssl.get_server_certificate(("127.0.0.1", front.tls_port))
