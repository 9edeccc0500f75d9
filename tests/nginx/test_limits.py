"""What an address may ask for, and that whoever is slow stops nobody else."""

import contextlib
import socket
import time
from collections import Counter

import pytest

from tests.nginx.front import front
from tests.servers.waiting import wait_until

SLOW = 200
PIECE = 900  # nginx ends a connection after a thousand


def statuses(front, path, count, **headers):
    """How many of so many requests, sent in few pieces, were answered with which status."""
    if count > PIECE:
        return statuses(front, path, PIECE, **headers) + statuses(front, path, count - PIECE, **headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}"
    text = f"{request}\r\n" * (count - 1) + f"{request}Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as one:
        one.sendall(text.encode())
        answers = b"".join(iter(lambda: one.recv(65536), b""))
    return Counter(int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:])


@pytest.fixture
def alone():
    """A front whose containers are gone, so that the answers are nginx's own, and quick."""
    with front() as it:
        it.names.addresses = ["127.0.0.4"]
        yield it


@pytest.mark.parametrize(
    ("path", "burst", "rate"),
    [("/api/auth/login", 50, 10), ("/api/deliveries", 400, 100), ("/unsubscribe/a-token", 1000, 500)],
)
def test_an_address_may_ask_for_so_much_at_once_and_so_much_a_second(alone, path, burst, rate):
    began = time.monotonic()
    got = statuses(alone, path, burst * 2 + 200)
    seconds = time.monotonic() - began
    assert burst <= got[502] <= burst + 2 + rate * seconds
    assert got[429] == burst * 2 + 200 - got[502] > 0


def test_who_asked_for_too_much_is_told_when_to_come_back(alone):
    statuses(alone, "/api/auth/login", 100)
    status, headers, body = alone.ask("GET", "/api/auth/login")
    assert (status, headers["Retry-After"], headers["Content-Type"]) == (429, "1", "application/problem+json")
    assert b'"code":"too_many_requests"' in body
    time.sleep(int(headers["Retry-After"]))
    assert alone.ask("GET", "/api/auth/login")[0] == 502


def test_the_limit_of_passwords_leaves_the_rest_alone_and_is_not_passed_by_writing_the_path_otherwise(alone):
    assert statuses(alone, "/api/auth/login", 100)[429] > 0
    assert alone.ask("GET", "/api/deliveries")[0] == 502
    for path in ("//api/auth/login", "/api/%61uth/login", "/api/auth/login/", "/api/x/../auth/login?a=b"):
        assert statuses(alone, path, 60)[429] > 0, path


def test_a_file_may_be_larger_than_any_other_body(alone):
    """Refused at once or let through, by its length alone; 502: to a container that is not there."""
    assert alone.ask("POST", "/api/imports", body=b"x" * 3_000_000)[0] == 502
    head = "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n"
    for path, length in (("/api/imports", 40_000_000), ("/api/imports/x", 3_000_000), ("/api/deliveries", 3_000_000)):
        assert " 413 " in alone.raw(head.format(path, length))


def test_few_files_come_in_at_once_and_looking_is_not_counted(alone):
    head = "POST /api/imports HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\nx"
    with contextlib.ExitStack() as slow:
        for _ in range(5):
            one = slow.enter_context(socket.create_connection(("127.0.0.1", alone.port), timeout=20))
            one.sendall(head.encode())
        wait_until(lambda: alone.ask("POST", "/api/imports", body=b"x")[0] == 429, what="five uploads")
        assert alone.ask("GET", "/api/imports")[0] == 502


def test_known_addresses_are_not_counted():
    with front(changes={"#10.20.30.40/32 1;": "127.0.0.1/32 1;"}) as it:
        assert statuses(it, "/api/auth/login", 100) == {200: 100}


def test_behind_a_balancer_each_client_is_counted_for_itself():
    changes = {
        "#set_real_ip_from 10.0.0.0/8": "set_real_ip_from 127.0.0.1",
        "#real_ip_header": "real_ip_header",
        "#real_ip_recursive": "real_ip_recursive",
    }
    with front(changes=changes) as it:
        assert statuses(it, "/api/auth/me", 100, **{"X-Forwarded-For": "192.0.2.1"})[429] > 0
        assert it.ask("GET", "/api/auth/me", X_Forwarded_For="192.0.2.2")[0] == 200
        assert it.first.asked[-1][2]["X-Forwarded-For"] == "192.0.2.2"
        # What the client wrote before the balancer added its own entry counts for nothing.
        assert it.ask("GET", "/api/auth/me", X_Forwarded_For="192.0.2.9, 192.0.2.1")[0] == 429
        # A network of /64 is one client.
        for other in ("2001:db8::2", "2001:db8:0:0:9:9:9:9"):
            assert statuses(it, "/api/auth/me", 60, **{"X-Forwarded-For": other})[429] > 0, other
            assert it.ask("GET", "/api/auth/me", X_Forwarded_For="2001:db8::1")[0] == 429
        assert it.ask("GET", "/api/auth/me", X_Forwarded_For="2001:db8:0:7::1")[0] == 200


def test_no_more_than_a_hundred_requests_of_an_address_are_under_way():
    with front() as it:
        it.first.seconds = 2
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(connected(it)) for _ in range(103)]
            for one in sockets:
                one.sendall(b"GET /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            got = Counter(one.recv(12)[-3:] for one in sockets)
    assert got == {b"200": 100, b"429": 3}


def connected(front):
    return socket.create_connection(("127.0.0.1", front.port), timeout=20)


def test_slow_clients_hold_nothing_that_others_need_and_are_hung_up_on():
    shorter = {
        "client_header_timeout 10s": "client_header_timeout 2s",
        "client_body_timeout 15s": "client_body_timeout 2s",
    }
    with front(changes=shorter) as it, contextlib.ExitStack() as stack:
        of_header, of_body = ([stack.enter_context(connected(it)) for _ in range(count)] for count in (SLOW - 90, 90))
        for one in of_header:
            one.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        for one in of_body:
            one.sendall(b"POST /api/deliveries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        began = time.monotonic()
        for _ in range(20):
            assert it.ask("GET", "/healthz")[0] == 200
        assert time.monotonic() - began < 1
        # None of the bodies has reached a thread of the API.
        assert set(it.first.begun) == {"/healthz"}
        for one in (*of_header, *of_body):
            wait_until(lambda one=one: hung_up(one), what="the end of a slow connection", seconds=5)


def hung_up(connection):
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


def test_a_slow_reader_does_not_hold_a_container():
    with front() as it:
        it.first.body = b"x" * 14_000_000  # more than the kernel keeps
        with connected(it) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(b"GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: it.first.written, what="the whole answer in nginx's hands", seconds=5)
