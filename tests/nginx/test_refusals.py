"""What nginx itself refuses, and that it does so in the API's own shape."""

import json

import pytest

from tests.nginx.front import front

HEAD = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


def problem(answer, status, code):
    """Assert that a raw answer is that problem, and give its headers and body."""
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} "), answer
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.splitlines()[1:])}
    body = json.loads(body)
    assert headers["content-type"] == "application/problem+json"
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:delivery:problem:{code}")
    assert body["request_id"] == headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    return headers, body


REFUSED = {
    "too large a body": (HEAD + "Content-Length: 2000000\r\n\r\n", 413, "request_entity_too_large"),
    "too long an address": (HEAD.replace("/ ", f"/{'a' * 9000} "), 414, "uri_too_long"),
    "too long a header": (HEAD + f"X-Long: {'a' * 9000}\r\n\r\n", 431, "headers_too_large"),
    "too many long headers": (HEAD + f"X-Long: {'a' * 8000}\r\n" * 5 + "\r\n", 431, "headers_too_large"),
    "no host": ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "bad_request"),
    "two hosts": (HEAD + "Host: localhost\r\n\r\n", 400, "bad_request"),
    "no host before HTTP/1.1": ("GET / HTTP/1.0\r\n\r\n", 400, "bad_request"),
    "another host in the address": (HEAD.replace("/ ", "http://evil.example/ ") + "\r\n", 400, "bad_request"),
    "a host that is none": (HEAD.replace("localhost", "a/b") + "\r\n", 400, "bad_request"),
    "a length and chunks": (HEAD + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
    "two lengths": (HEAD + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400, "bad_request"),
    "an unknown encoding": (HEAD + "Transfer-Encoding: xchunked\r\n\r\n", 501, "not_implemented"),
    "TRACE": (HEAD.replace("GET", "TRACE") + "\r\n", 405, "method_not_allowed"),
    "NUL in the path": (HEAD.replace("/ ", "/a%00b ") + "\r\n", 400, "bad_request"),
    "a step out": (HEAD.replace("/ ", "/../etc ") + "\r\n", 400, "bad_request"),
    "another protocol": (HEAD.replace("HTTP/1.1", "HTTP/3.1") + "\r\n", 505, "http_version_not_supported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_the_shape_of_the_api(plain, name):
    text, status, code = REFUSED[name]
    headers, _ = problem(plain.raw(text), status, code)
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert plain.first.asked == []
    assert "server" not in headers or "/" not in headers["server"]


def test_the_clients_own_request_id_stays_if_it_is_well_formed(plain):
    long = "Content-Length: 2000000\r\n\r\n"
    assert problem(plain.raw(f"{HEAD}X-Request-ID: mine-1\r\n{long}"), 413, "request_entity_too_large")[1][
        "request_id"
    ] == ("mine-1")
    hostile = problem(plain.raw(f'{HEAD}X-Request-ID: a","b\r\n{long}'), 413, "request_entity_too_large")[1]
    assert '"' not in hostile["request_id"]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/a/../metrics", "/metrics?x=1"])
def test_metrics_cannot_be_reached(plain, path):
    problem(plain.raw(HEAD.replace("/ ", f"{path} ") + "\r\n"), 404, "not_found")
    problem(plain.raw(HEAD.replace("/ ", f"http://localhost{path} ") + "\r\n"), 404, "not_found")
    assert plain.first.asked == []


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8080", "localhost.", "delivery.example", "[::1]:8080"])
def test_a_host_is_passed_on_without_its_port(plain, host):
    assert plain.ask("GET", "/", Host=host)[0] == 200
    assert plain.first.asked[0][2]["Host"] == host.lower().removesuffix(":8080").removesuffix(".")


def test_hosts_that_are_not_listed_can_be_refused_here():
    listed = {'default "";\n    _ 1;': 'default 1;\n    delivery.example "";'}
    with front(changes=listed) as it:
        assert it.ask("GET", "/", Host="delivery.example")[0] == 200
        assert it.ask("GET", "/", Host="evil.example")[0] == 400
        assert len(it.first.asked) == 1


def test_what_a_client_says_about_proxies_is_written_over(plain):
    plain.raw(
        HEAD + "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n"
        "Forwarded: for=9.9.9.9\r\nX_Forwarded_For: 9.9.9.9\r\nX-Real-IP: ::1\r\n\r\n"
    )
    told = plain.first.asked[0][2]
    assert (told["X-Forwarded-For"], told["X-Forwarded-Host"]) == ("127.0.0.1", "localhost")
    assert told["X-Forwarded-Proto"] == "http"
    assert "Forwarded" not in told
    assert "X_Forwarded_For" not in told
