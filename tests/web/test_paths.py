"""Hostile paths, methods and hosts."""

from uuid import uuid4

import pytest

from tests.conftest import METRICS_TOKEN
from tests.web.answers import problem, wrong

IDS = {
    "no UUID": "1",
    "a word": "me",
    "NUL": "%00",
    "a UUID and NUL": f"{uuid4()}%00",
    "NUL in the middle": "0190a0a0-0000-7000-8000-00000000%0000",
    "a newline": f"{uuid4()}%0a",
    "a step up": "..%2f..%2fetc",
    "braces": "%7B0190a0a0-0000-7000-8000-000000000000%7D",
    "a URN": "urn:uuid:0190a0a0-0000-7000-8000-000000000000",
    "no hyphens": "0190a0a0000070008000000000000000",
    "invalid UTF-8": "%ff%fe",
    "a surrogate": "%ed%a0%80",
    "other digits": "%D9%A0" * 8,
    "10 kB": "a" * 10_000,
    "SQL": "1'%20OR%20'1'='1",
}


def test_an_id_that_is_none_is_a_404(people):
    admin = people.admin()
    for made_up in IDS.values():
        for path in ("/api/deliveries/{}", "/api/deliveries/{}/events", "/api/users/{}", "/api/users/{}/deliveries"):
            problem(admin.get(path.format(made_up)), 404, "not_found")
        problem(admin.post(f"/api/deliveries/{made_up}/transitions", json={"to": "pending"}), 404, "not_found")


def test_an_unknown_id_is_a_404_that_looks_like_any_other(people):
    admin, nobodys = people.admin(), uuid4()
    details = {
        admin.get(f"/api/deliveries/{nobodys}").json["detail"],
        admin.get(f"/api/users/{nobodys}").json["detail"],
        people.customer().get(f"/api/users/{admin.user_id}").json["detail"],
        admin.get("/nowhere").json["detail"],
    }
    assert len(details) == 1


def test_an_id_may_be_written_in_capitals(api):
    delivery = api.create()
    assert api.get(f"/api/deliveries/{delivery['id'].upper()}").json == delivery


def test_a_slash_at_the_end_changes_nothing(people):
    admin = people.admin()
    one = admin.create()["id"]
    for path in ("/api/users", "/api/deliveries", f"/api/deliveries/{one}", f"/api/deliveries/{one}/events"):
        plain, slashed = admin.get(path), admin.get(f"{path}/")
        assert (plain.status_code, plain.data) == (slashed.status_code, slashed.data) == (200, plain.data)
    body = {"name": "Ada", "email": "ada@shop.example", "password": "correct horse battery"}
    assert admin.post("/api/users/", json=body).status_code == 201
    problem(admin.request("PUT", "/api/users/"), 405)


def test_a_method_that_nobody_offers_is_a_405(people):
    admin = people.admin()
    for method in ("TRACE", "CONNECT", "PROPFIND", "PUT", "FOO"):
        for path in ("/api/auth/me", "/api/users", "/api/deliveries", f"/api/deliveries/{uuid4()}", "/healthz"):
            response = admin.request(method, path)
            problem(response, 405, "method_not_allowed")
            assert "GET" in response.headers["Allow"]


def test_a_method_cannot_be_smuggled_in_a_header_or_a_query(api):
    delivery = api.create()
    path = f"/api/deliveries/{delivery['id']}"
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert api.get(path, headers={name: "DELETE", "If-Match": '"1"'}).status_code == 200
    assert wrong(api.get(f"{path}?_method=DELETE", headers={"If-Match": '"1"'})) == {"/_method": "unknown"}
    assert api.get(path).json == delivery
    problem(api.post(path, headers={"X-HTTP-Method-Override": "DELETE", "If-Match": '"1"'}), 405)


def test_options_lists_methods_and_needs_nobody(client):
    response = client.options("/api/deliveries")
    assert response.status_code == 200
    assert {one.strip() for one in response.headers["Allow"].split(",")} == {"GET", "HEAD", "POST", "OPTIONS"}


def test_head_answers_as_get_without_a_body(api):
    path = f"/api/deliveries/{api.create()['id']}"
    head, got = api.request("HEAD", path), api.get(path)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["ETag"] == got.headers["ETag"]
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
    assert api.request("HEAD", path, headers={"If-None-Match": '"1"'}).status_code == 304


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost@evil.example", "evil.example:80"]
)
def test_a_host_that_is_not_ours_is_refused(client, host):
    for path in ("/api/auth/me", "/healthz", "/nowhere"):
        problem(client.get(path, headers={"Host": host}), 400, "bad_request")


def test_only_the_listed_hosts_are_served(make_app):
    client = make_app(TRUSTED_HOSTS="delivery.example.org,.shop.example").test_client()
    for host in ("delivery.example.org", "delivery.example.org:8443", "a.shop.example"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    for host in ("localhost", "example.org", "shop.example.evil"):
        problem(client.get("/healthz", headers={"Host": host}), 400)


ADDRESSES = ["10.0.3.7", "10.0.3.7:8000", "[2001:db8::7]:8000", "[::1]", "127.0.0.1:8000"]
NO_ADDRESSES = [
    "10.0.3.7.evil.example",
    "web:8000",
    "[evil]",
    "10.0.3",
    "10.0.3.7:",
    "10.0.3.7:8000:1",
    "[10.0.3.7",
    "",
]


@pytest.mark.parametrize("host", ADDRESSES)
def test_whoever_watches_asks_by_address(make_app, host):
    client = make_app(TRUSTED_HOSTS=".delivery.example.org").test_client()
    assert client.get("/healthz", headers={"Host": host}).status_code == 200
    assert client.get("/readyz", headers={"Host": host}).status_code == 200
    problem(client.get("/metrics", headers={"Host": host}), 401)
    token = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    assert client.get("/metrics", headers={"Host": host} | token).status_code == 200
    for path in ("/api/auth/me", "/docs", "/", "/metrics/x", "/healthz/.."):
        problem(client.get(path, headers={"Host": host}), 400)


@pytest.mark.parametrize("host", NO_ADDRESSES)
def test_a_name_that_is_not_ours_is_refused_there_too(make_app, host):
    client = make_app(TRUSTED_HOSTS="delivery.example.org", METRICS_TOKEN="").test_client()
    problem(client.get("/metrics", headers={"Host": host}), 400)


def test_a_proxy_counts_by_the_host_that_it_names(make_app):
    client = make_app(TRUSTED_HOSTS="delivery.example.org", PROXY_HOPS=1).test_client()
    headers = {"Host": "10.0.3.7", "X-Forwarded-Host": "evil.example"}
    problem(client.get("/healthz", headers=headers), 400)


def test_another_host_in_a_proxys_header_is_not_believed(client):
    headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "X-Forwarded-For": "1.2.3.4"}
    assert client.get("/healthz", headers=headers).status_code == 200


def test_doubled_slashes_lead_to_no_other_host(api):
    response = api.get("/", environ_overrides={"PATH_INFO": "//evil.example/api/deliveries"})
    assert response.status_code in {308, 404}
    assert response.headers.get("Location", "http://localhost/").startswith("http://localhost/")
