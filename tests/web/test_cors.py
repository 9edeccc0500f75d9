"""CORS: the listed origins may read answers from a browser, no others, and none by default."""

import pytest

OURS = "https://shop.example"
STRANGERS = [
    "https://evil.example",
    "https://shop.example.evil.example",
    "http://shop.example",
    "null",
    "https://xshop.example",
]


@pytest.fixture
def shop(make_app):
    return make_app(CORS_ORIGINS=f"{OURS},https://admin.shop.example").test_client()


def preflight(client, origin, path="/api/deliveries"):
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "Authorization, If-Match"}
    return client.options(path, headers={"Origin": origin, **asked})


def allowed(response):
    return {name: value for name, value in response.headers.items() if name.startswith("Access-Control-")}


def test_a_listed_origin_may_ask_and_read(shop):
    answer = preflight(shop, OURS)
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert {"authorization", "if-match"} <= set(answer.headers["Access-Control-Allow-Headers"].lower().split(", "))

    answer = shop.get("/api/auth/me", headers={"Origin": OURS})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert {"ETag", "Location", "X-Request-ID"} <= exposed


def test_another_origin_is_told_nothing(shop):
    for origin in STRANGERS:
        assert allowed(preflight(shop, origin)) == {}
        assert allowed(shop.get("/api/auth/me", headers={"Origin": origin})) == {}


def test_nobody_is_allowed_by_default(client):
    for origin in (OURS, *STRANGERS, "http://localhost"):
        assert allowed(preflight(client, origin)) == {}
        assert allowed(client.get("/healthz", headers={"Origin": origin})) == {}


def test_cookies_are_never_asked_for(shop):
    assert "Access-Control-Allow-Credentials" not in preflight(shop, OURS).headers


def test_caches_are_told_that_the_answer_depends_on_origin_and_caller(shop, people):
    headers = {"Origin": OURS, **people.customer().headers}
    answer = shop.get("/api/deliveries", headers=headers)
    varies = {name.strip() for value in answer.headers.getlist("Vary") for name in value.split(",")}
    assert {"Origin", "Authorization"} <= varies
