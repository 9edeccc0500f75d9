"""Which container is asked, what of it is kept, and what of it is logged."""

import json
import re

import pytest

from tests.nginx.front import ROOT, front
from tests.servers.waiting import wait_until

SOON = {
    "proxy_read_timeout 35s": "proxy_read_timeout 1s",
    "proxy_next_upstream_timeout 40s": "proxy_next_upstream_timeout 2s",
}
TOKEN = "IkxpbmsgdG8gYW4gYWNjb3VudCI.ZxY-aQ.s3cr3t-s1gnature-0123456789"


@pytest.fixture
def half_gone():
    """One of two containers refuses."""
    with front() as it:
        it.names.addresses = ["127.0.0.3", "127.0.0.4"]
        yield it


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_when_one_refuses_the_next_is_asked(half_gone, method):
    answers = [half_gone.ask(method, f"/api/{n}", body=b"{}")[0] for n in range(12)]
    assert answers == [200] * 12
    assert len(half_gone.second.asked) == 12
    assert any("," in line["upstream"] for line in wait_for_lines(half_gone, 12))


@pytest.fixture(scope="module")
def half_hanging():
    with front(changes=SOON) as it:
        it.names.addresses = ["127.0.0.2", "127.0.0.3"]
        it.first.hang()
        yield it


def test_when_one_hangs_what_only_reads_is_asked_of_the_next(half_hanging):
    assert [half_hanging.ask("GET", f"/api/{n}")[0] for n in range(6)] == [200] * 6
    assert half_hanging.first.asked


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_have_been_heard_is_not_repeated(half_hanging, method):
    half_hanging.first.asked, half_hanging.second.asked = [], []
    answers = [half_hanging.ask(method, f"/api/{method}/{n}", body=b"{}") for n in range(8)]
    asked = [path for _, path, _, _ in half_hanging.first.asked + half_hanging.second.asked]
    assert sorted(asked) == [f"/api/{method}/{n}" for n in range(8)]
    late = [answer for answer in answers if answer[0] == 504]
    assert len(late) == len(half_hanging.first.asked) > 0
    assert json.loads(late[0][2])["code"] == "gateway_timeout"
    assert late[0][1]["Retry-After"] == "5"


def test_containers_come_and_go_without_a_reload(plain):
    assert plain.ask("GET", "/")[0] == 200
    plain.point_at("127.0.0.3")
    wait_until(lambda: plain.ask("GET", "/") and plain.second.asked, what="the new container")
    plain.point_at()
    wait_until(lambda: plain.ask("GET", "/")[0] == 502, what="none left")
    plain.point_at("127.0.0.2")
    wait_until(lambda: plain.ask("GET", "/")[0] == 200, what="one again")


def test_an_answer_passes_as_it_is(plain):
    plain.first.status, plain.first.body = 503, b'{"code": "of the API"}'
    plain.first.headers = {"ETag": '"v1"', "Content-Type": "application/problem+json", "RateLimit-Remaining": "7"}
    status, headers, body = plain.ask("GET", "/api/deliveries", Accept_Encoding="gzip, br", Authorization="Bearer x")
    assert (status, body) == (503, plain.first.body)
    assert {name: headers[name] for name in plain.first.headers} == plain.first.headers
    assert headers["Content-Encoding"] is None
    assert headers["X-Cache-Status"] is None


def cached(front, path, **headers):
    return front.ask("GET", path, **headers)[1]["X-Cache-Status"]


@pytest.mark.parametrize("path", ["/track/7K3MXQ", "/api/track/7K3MXQ"])
def test_public_tracking_is_asked_for_once_in_some_seconds(plain, path):
    plain.first.headers = {"RateLimit-Remaining": "3", "X-Request-ID": "of-the-first", "ETag": '"a"'}
    assert [cached(plain, path, X_Request_ID=f"n-{n}") for n in range(3)] == ["MISS", "HIT", "HIT"]
    status, headers, _ = plain.ask("GET", path, If_None_Match='"a"', X_Request_ID="mine", Cookie="session=1")
    assert status == 304
    assert (headers["X-Request-ID"], headers["RateLimit-Remaining"]) == ("mine", None)
    assert [asked[0] for asked in plain.first.asked] == ["GET"]


def test_nobody_gets_what_was_for_somebody(plain):
    for n in range(2):
        assert cached(plain, "/api/track/A", Authorization=f"Bearer {n}") == "BYPASS"
        assert cached(plain, f"/track/A?token={n}") == "BYPASS"
        assert cached(plain, "/track/A?token=0") == "BYPASS"
    assert cached(plain, "/track/A", Cookie="session=1") == "MISS"
    assert "Cookie" not in plain.first.asked[-1][2]
    # Written otherwise, it is another page; so is that of another host.
    assert [cached(plain, path) for path in ("/track//A", "/track/%41")] == ["MISS", "MISS"]
    assert cached(plain, "/track/A", Host="other.example") == "MISS"
    assert plain.ask("POST", "/track/A", body=b"{}")[1]["X-Cache-Status"] in (None, "BYPASS", "MISS")
    assert plain.first.asked[-1][0] == "POST"


@pytest.mark.parametrize(
    "headers",
    [{"Cache-Control": "no-store"}, {"Cache-Control": "private, no-cache"}, {"Set-Cookie": "a=b"}, {"Vary": "*"}],
)
def test_what_the_api_says_about_keeping_counts(plain, headers):
    plain.first.headers = headers
    path = f"/track/{abs(hash(str(headers)))}"
    assert [cached(plain, path) for _ in range(2)] == ["MISS", "MISS"]


def test_errors_are_not_kept_and_the_last_answer_helps_out(plain):
    plain.first.status = 404
    assert [cached(plain, "/track/none") for _ in range(2)] == ["MISS", "MISS"]
    plain.first.status, plain.first.headers = 200, {"Cache-Control": "public, max-age=1"}
    assert cached(plain, "/track/stale") == "MISS"
    plain.first.status = 500
    wait_until(lambda: cached(plain, "/track/stale") in {"STALE", "UPDATING"}, what="a stale answer")
    assert plain.ask("GET", "/track/stale")[0] == 200


SAID = {
    f"/unsubscribe/{TOKEN}": "/unsubscribe/*",
    f"/unsubscribe/{TOKEN}/undo": "/unsubscribe/*/undo",
    f"/unsubscribe/{TOKEN}/preferences/": "/unsubscribe/*/preferences",
    f"/unsubscribe/short/{TOKEN}": "/unsubscribe/*",
    f"//%75nsubscribe//{TOKEN}": "/unsubscribe/*",
    f"/api/auth/verify-email?token={TOKEN}": "/api/auth/verify-email",
    f"/api/auth/reset-password/?x=1&token={TOKEN}": "/api/auth/reset-password/",
    f"/nowhere/{TOKEN}": "/*",
    "/track/7K3MXQ4Z": "/track/*",
    "/api/track/7K3MXQ4Z": "/api/track/*",
    "/api/users/ada@shop.example": "/*",
    "/api/a%22,%22b%0aX": "/*",
    "/api/deliveries/0190a0a0-0000-7000-8000-000000000000": "/api/deliveries/0190a0a0-0000-7000-8000-000000000000",
    # Refused by nginx itself: the path is that which was asked for.
    f"/metrics?token={TOKEN}": "/metrics",
    f"/metrics/{TOKEN}": "/*",
}


def test_no_line_holds_a_secret(plain):
    # Lines are written after their answers: those of the test before must be there.
    plain.ask("GET", "/begin")
    wait_until(lambda: plain.logged()[-1]["path"] == "/begin", what="the first line")
    before = len(plain.logged())
    for path in SAID:
        plain.ask("GET", path, Referer=f"https://localhost/?token={TOKEN}", Authorization=f"Bearer {TOKEN}")
    plain.point_at("127.0.0.4")
    plain.settle()
    wait_until(lambda: plain.ask("GET", "/gone")[0] == 502, what="no container")
    for path in SAID:
        plain.ask("POST", path, body=b"x" * 40_000)
    plain.raw(f"GET /{TOKEN * 200} HTTP/1.1\r\nHost: a\r\n\r\n")
    plain.raw(f"GET /a?{TOKEN} HTTP/1.1\r\nHost: a b\r\n\r\n")
    lines = [line for line in wait_for_lines(plain, before + 2 * len(SAID) + 2)[before:] if line["path"] != "/gone"]
    assert [line["path"] for line in lines[: len(SAID)]] == list(SAID.values())
    # What nginx answers by itself it has only as it was written.
    raw = {path: "/*" if "%" in path else said for path, said in SAID.items()}
    assert [line["path"] for line in lines[len(SAID) : 2 * len(SAID)]] == list(raw.values())
    told = "".join(path.read_text() for path in plain.folder.glob("*.log"))
    assert "s3cr3t" not in told
    assert "7K3M" not in told
    assert "ada@" not in told


def wait_for_lines(front, count):
    wait_until(lambda: len(front.logged()) >= count, what="the lines of the log")
    return front.logged()


def test_each_path_that_holds_a_token_is_hidden(app):
    """A new one has to be added to nginx/parts/log.conf."""
    rules = {rule.rule for rule in app.url_map.iter_rules() if re.search(r"<\w*(token|number)", rule.rule)}
    hidden = (ROOT / "nginx/parts/log.conf").read_text()
    assert rules
    assert [rule for rule in rules if f"{rule.split('/')[1]}" not in hidden] == []
