"""`flask doctor` looks at the certificate of the public address as a client would: a real server presents each kind."""

import datetime as dt
import socket
import threading
from contextlib import contextmanager

import pytest

from delivery.ops import certificates, doctor
from tests.notifications.conftest import on_sqlite
from tests.servers.certificate import server_context

pytestmark = on_sqlite
DAY, MINUTE = dt.timedelta(days=1), dt.timedelta(minutes=1)
OURS = ("localhost", "127.0.0.1")
RENEW = "  -> renew it, and have nginx take it: docs/operations.md"


@contextmanager
def presenting(context):
    """Shake hands with whoever comes, until the end of the block; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                with plain:
                    plain.settimeout(5)
                    try:
                        context.wrap_socket(plain, server_side=True).close()
                    except OSError:  # who refuses the certificate says so
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def told(app):
    """The level, and what `flask doctor` says behind it."""
    check = next(one for one in doctor.CHECKS if one.what == "certificate")
    with app.app_context():
        [(_, finding)] = doctor.examine([check])
    return finding.level, doctor.line(check, finding)[22:]


@pytest.fixture
def found(app, tmp_path, monkeypatch):
    """Call it with what the certificate is like: what `flask doctor` says of it."""

    def find(*, host="localhost", names=OURS, since=-DAY, until=90 * DAY, trusted=True):
        context, path = server_context(tmp_path, names=names, since=since, until=until)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with presenting(context) as port:
            app.config["PUBLIC_BASE_URL"] = f"https://{host}:{port}"
            return told(app)

    return find


@pytest.mark.parametrize("host", OURS)
def test_a_good_one_says_for_how_long(found, host):
    assert found(host=host, until=90 * DAY + MINUTE) == ("ok", "90 days left")
    assert found(host=host, until=14 * DAY + MINUTE) == ("ok", "14 days left")


@pytest.mark.parametrize("trusted", [True, False])
def test_one_that_ends_within_two_weeks_is_a_warning(found, trusted):
    level, detail = found(until=14 * DAY - MINUTE, trusted=trusted)
    assert level == "warn"
    assert detail.startswith("13 days left")
    assert detail.endswith(RENEW) is trusted
    assert found(until=2 * DAY - MINUTE) == ("warn", f"1 day left{RENEW}")


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"until": -MINUTE}, "it has expired"),
        ({"since": DAY}, "it is not valid yet"),
        ({"names": ["delivery.example"]}, "it is for another name"),
        ({"names": ["localhost"], "host": "127.0.0.1"}, "it is for another address"),
    ],
)
def test_one_that_clients_refuse_fails_whoever_vouches_for_it(found, trusted, wrong, said):
    assert found(**wrong, trusted=trusted) == ("FAIL", f"{said}, so clients refuse it{RENEW}")


def test_one_that_nobody_vouches_for_is_a_warning_for_others_may_trust_it(found):
    said = "89 days left; nobody whom this machine trusts vouches for it  -> look from outside, see docs/operations.md"
    assert found(trusted=False) == ("warn", said)


def test_without_https_there_is_none(app):
    assert told(app) == ("ok", "none, PUBLIC_BASE_URL is http")


def refusing():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def silent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_who_cannot_be_reached_is_a_warning(app):
    app.config["PUBLIC_BASE_URL"] = f"https://localhost:{refusing()}"
    said = "no answer by TLS from here (ConnectionRefusedError)  -> look from outside, see docs/operations.md"
    assert told(app) == ("warn", said)


def test_who_is_silent_is_given_up_soon(app, monkeypatch):
    monkeypatch.setattr(certificates, "SECONDS", 0.2)
    with silent() as port:
        app.config["PUBLIC_BASE_URL"] = f"https://localhost:{port}"
        assert told(app)[1].startswith("no answer by TLS from here (TimeoutError)")


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 64}.example"])
def test_a_name_that_leads_nowhere_is_a_warning(app, monkeypatch, host):
    def unknown(*_):
        raise socket.gaierror

    app.config["PUBLIC_BASE_URL"] = f"https://{host}"
    if host.endswith(".invalid"):
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert told(app)[0] == "warn"


def test_who_speaks_no_tls_is_a_warning(app):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with listener.accept()[0] as plain:
                plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        app.config["PUBLIC_BASE_URL"] = f"https://localhost:{listener.getsockname()[1]}"
        level, said = told(app)
        thread.join()
    assert (level, said.startswith("no answer by TLS from here (")) == ("warn", True)
