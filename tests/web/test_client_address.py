"""Whose request it is: the address of the last proxy that we trust, whatever the client writes into its headers."""

import pytest

from tests.factories import PASSWORD

MOST = 20
PROXY, CLIENT = "198.51.100.1", "203.0.113.7"
WRONG = {"email": "ada@shop.example", "password": f"not {PASSWORD}"}


@pytest.fixture
def logins(make_app):
    """Call it with PROXY_HOPS for a way to log in wrongly with a X-Forwarded-For, which gives the status."""

    def of(hops):
        client = make_app(PROXY_HOPS=hops, ANONYMOUS_REQUESTS_PER_MINUTE=MOST).test_client()

        def login(forwarded, address=PROXY):
            headers = {"X-Forwarded-For": forwarded, "X-Real-IP": forwarded, "Forwarded": f"for={forwarded}"}
            environ = {"REMOTE_ADDR": address}
            return client.post("/api/auth/login", json=WRONG, headers=headers, environ_base=environ).status_code

        return login

    return of


@pytest.fixture(autouse=True)
def fresh(redis_server):
    redis_server.flush()


def spoofed(number):
    return f"10.{number // 256}.{number % 256}.1"


@pytest.mark.no_cover  # the same lines again and again
def test_without_a_proxy_the_header_is_nothing(logins):
    login = logins(0)
    got = [login(spoofed(number)) for number in range(1000)]
    assert sum(status != 429 for status in got) <= MOST
    assert set(got[MOST:]) == {429}


@pytest.mark.no_cover  # the same lines again and again
def test_behind_a_proxy_the_entry_that_it_wrote_counts(logins):
    login = logins(1)
    got = [login(f"{spoofed(number)}, {CLIENT}") for number in range(1000)]
    assert sum(status != 429 for status in got) <= MOST
    assert set(got[MOST:]) == {429}
    assert login(f"{CLIENT}, 203.0.113.8") == 401, "another client of the same proxy"


def test_behind_a_proxy_many_headers_are_one(logins, make_app):
    client = make_app(PROXY_HOPS=1, ANONYMOUS_REQUESTS_PER_MINUTE=MOST).test_client()
    got = [
        client.post(
            "/api/auth/login",
            json=WRONG,
            headers=[("X-Forwarded-For", spoofed(number)), ("X-Forwarded-For", CLIENT)],
            environ_base={"REMOTE_ADDR": PROXY},
        ).status_code
        for number in range(MOST + 5)
    ]
    assert got[-1] == 429


@pytest.mark.parametrize("nonsense", ["", "x" * 5000, "unknown", "' OR 1=1 --", "203.0.113.7:443", "[::1]", ",,,"])
def test_nonsense_for_an_address_is_a_client_like_any_other(logins, nonsense):
    login = logins(1)
    assert [login(nonsense) for _ in range(MOST + 1)][-1] == 429
