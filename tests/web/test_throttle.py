"""The general limits: who is counted as whom, what is answered, and that no trouble of Redis's is the caller's."""

import time
from uuid import UUID

import pytest

from delivery import jobs
from delivery.auth import sessions
from delivery.database import db, transaction
from delivery.deliveries.models import Delivery
from delivery.web import throttle
from tests.factories import Api, People
from tests.servers.redis import redis_server
from tests.web.answers import problem
from tests.web.racing import race

MOST = 5
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NAMES = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


@pytest.fixture
def app(make_app):
    return make_app(API_REQUESTS_PER_MINUTE=MOST, ANONYMOUS_REQUESTS_PER_MINUTE=MOST)


@pytest.fixture(autouse=True)
def fresh(redis_server):
    redis_server.flush()


@pytest.fixture
def nobody(client):
    """Ask for something public, from an address: nobody("192.0.2.1")."""

    def ask(address="192.0.2.1", **more):
        given = {"json": {"token": "x"}, "environ_base": {"REMOTE_ADDR": address}, **more}
        return client.post("/api/auth/verify-email", **given)

    return ask


def refused(response):
    """Assert that this is a 429 as it should be; return the seconds to wait."""
    body = problem(response, 429, "too_many_requests")
    assert body["detail"]
    assert [response.headers[name] for name in NAMES] == [str(MOST), "0", response.headers["Retry-After"]]
    return int(response.headers["Retry-After"])


def statuses(ask, times):
    return [ask().status_code for _ in range(times)]


# Whose requests


def test_a_person_may_send_so_many_a_minute(api, travel):
    assert statuses(lambda: api.get("/api/auth/me"), MOST) == MOST * [200]
    seconds = refused(api.get("/api/auth/me"))
    assert 58 <= seconds <= 60
    travel(seconds=seconds)
    assert statuses(lambda: api.get("/api/auth/me"), MOST + 1) == [*MOST * [200], 429]


def test_the_window_moves(api, travel):
    for _ in range(MOST):
        api.get("/api/auth/me")
        travel(seconds=10)
    assert 8 <= refused(api.get("/api/auth/me")) <= 10
    travel(seconds=10)
    assert statuses(lambda: api.get("/api/auth/me"), 2) == [200, 429]


def test_all_sessions_of_a_person_count_together(app, api):
    with app.app_context(), transaction():
        granted = sessions.open_session(user_id=UUID(api.user_id), epoch=1)
    again = Api(app, user_id=api.user_id, token=granted.access_token, refresh_token=granted.refresh_token)
    assert statuses(lambda: api.get("/api/auth/me"), MOST - 1) == (MOST - 1) * [200]
    assert statuses(lambda: again.get("/api/auth/me"), 2) == [200, 429]


def test_two_people_at_one_address_do_not_count_together(people):
    one, other = people.customer(), people.customer()
    assert statuses(lambda: one.get("/api/auth/me"), MOST + 1)[-1] == 429
    assert other.get("/api/auth/me").status_code == 200


def test_what_nobody_signed_in_for_counts_for_its_address(nobody):
    assert statuses(nobody, MOST + 1) == [*MOST * [400], 429]
    assert nobody("192.0.2.2").status_code == 400
    refused(nobody())


def test_a_customer_with_a_whole_ipv6_network_is_one(nobody):
    assert [nobody(f"2001:db8::{number:x}").status_code for number in range(1, MOST + 2)][-1] == 429
    assert nobody("2001:db8:0:1::1").status_code == 400


def test_refused_credentials_count_for_the_address(client, nobody, api):
    def forged(**more):
        return client.get("/api/auth/me", headers={"Authorization": "Bearer x.y.z"}, **more)

    assert statuses(forged, MOST + 1) == [*MOST * [401], 429]
    assert nobody("127.0.0.1").status_code == 429
    assert api.get("/api/auth/me").status_code == 200, "who is signed in does not pay for their neighbour"


def test_a_request_that_may_not_be_made_counts_for_the_person(api):
    assert statuses(lambda: api.get("/api/users"), MOST + 1) == [*MOST * [403], 429]


def test_a_public_request_with_credentials_counts_for_the_person(api, nobody):
    def register(number):
        return api.post(
            "/api/users", json={"name": "A", "email": f"a{number}@x.example", "password": "correct-horse-9"}
        )

    assert [register(number).status_code for number in range(MOST + 1)][-1] == 429
    assert nobody("127.0.0.1").status_code == 400


def test_health_and_documents_are_never_limited(client):
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        answers = [client.get(path) for _ in range(MOST + 2)]
        assert {answer.status_code for answer in answers} == {200}
        assert not any(name in answer.headers for name in NAMES for answer in answers)


# What is answered


def test_every_answer_says_what_is_left(api, client):
    told = [
        api.get("/api/auth/me"),
        api.get("/api/users"),
        api.get("/api/users/0190a0a0-0000-7000-8000-000000000000"),
        api.post("/api/deliveries", json={"nonsense": 1}),
    ]
    assert [answer.status_code for answer in told] == [200, 403, 404, 422]
    for left, answer in zip(range(MOST - 1, 0, -1), told, strict=True):
        assert [answer.headers[name] for name in NAMES[:2]] == [str(MOST), str(left)]
        assert 1 <= int(answer.headers["RateLimit-Reset"]) <= 60


def test_a_limited_request_has_no_effect(app, api):
    for _ in range(MOST):
        api.get("/api/auth/me")
    answer = api.post("/api/deliveries", json={"item_name": "Bicycle"}, headers={"Idempotency-Key": "one"})
    refused(answer)
    with app.app_context():
        assert db.session.query(Delivery).count() == 0


def test_a_replay_counts(api):
    body = {
        "item_name": "Bicycle",
        "recipient": {"name": "Grace", "email": "g@x.example"},
        "destination": {"line1": "1 Road", "city": "Bristol", "country": "GB"},
    }
    answers = [api.post("/api/deliveries", json=body, headers={"Idempotency-Key": "one"}) for _ in range(MOST + 1)]
    assert [answer.status_code for answer in answers] == [*MOST * [201], 429]
    assert "Idempotent-Replayed" in answers[1].headers
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]


def test_pages_of_other_origins_may_read_it(make_app):
    app = make_app(CORS_ORIGINS="https://app.example.com")
    answer = app.test_client().post(
        "/api/auth/verify-email", json={"token": "x"}, headers={"Origin": "https://app.example.com"}
    )
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert all(name in exposed for name in (*NAMES, "Retry-After"))


@on_sqlite
def test_the_document_names_what_is_limited(client):
    paths = client.get("/openapi.json").json["paths"]
    # Twilio and mail providers call for everybody from a few addresses; what they send is signed.
    of_providers = ("/unsubscribe/", "/api/callbacks/")
    for path, methods in paths.items():
        for operation in (
            one for one in methods.values() if isinstance(one, dict) and not path.startswith(of_providers)
        ):
            limited = path not in {"/healthz", "/readyz", "/metrics"}
            assert ("429" in operation["responses"]) == limited, path
            for response in operation["responses"].values():
                if "$ref" not in response:
                    assert set(NAMES) <= set(response.get("headers", {})) or not limited, path


# Counting


def test_fifty_at_once_get_no_more_than_the_limit(api):
    got = race(*[lambda: api.get("/api/auth/me").status_code] * 16)
    assert sorted(got) == [*MOST * [200], *11 * [429]]


def test_two_apps_on_one_redis_count_together(app, make_app, api):
    other = make_app(API_REQUESTS_PER_MINUTE=MOST, JWT_SECRET_KEY=app.config["JWT_SECRET_KEY"]).test_client()
    for turn in range(MOST):
        ask = other.get if turn % 2 else app.test_client().get
        assert ask("/api/auth/me", headers=api.headers).status_code == 200
    for client in (other, app.test_client()):
        refused(client.get("/api/auth/me", headers=api.headers))


def test_no_address_is_kept_in_redis(redis_server, nobody):
    nobody("192.0.2.77")
    with redis_server.client() as redis:
        assert not [key for key in redis.scan_iter() if b"192.0.2" in key]


# Redis in trouble


@pytest.fixture
def troubled(make_app):
    """An app with a Redis of its own to break, and somebody signed in to it: (server, api)."""
    with redis_server() as server:
        app = make_app(REDIS_URL=server.url, API_REQUESTS_PER_MINUTE=MOST)
        yield server, People(app).customer()
        with app.app_context():
            jobs.redis_for_web().close()


def fill(server):
    with server.client() as redis:
        redis.config_set("maxmemory", "1")


@pytest.mark.parametrize("trouble", ["kill", "freeze", "flush", fill], ids=["down", "hung", "flushed", "full"])
def test_trouble_of_redis_costs_nobody_an_answer(troubled, trouble):
    server, api = troubled
    assert api.get("/api/auth/me").status_code == 200
    getattr(server, trouble)() if isinstance(trouble, str) else trouble(server)
    took, got = [], []
    for _ in range(MOST + 1):
        began = time.monotonic()
        got.append(api.get("/api/auth/me").status_code)
        took.append(time.monotonic() - began)
    assert got == [*MOST * [200], 429], "counted all the same"
    assert max(took) < 1.0
    assert sorted(took)[-2] < 0.4, "nobody waits twice"


@on_sqlite
def test_redis_counts_again_when_it_is_back(troubled, monkeypatch):
    monkeypatch.setattr(jobs, "BREAKER_SECONDS", 0.2)
    server, api = troubled
    server.kill()
    assert statuses(lambda: api.get("/api/auth/me"), MOST + 1)[-1] == 429
    server.start()
    time.sleep(0.3)
    assert api.get("/api/auth/me").headers["RateLimit-Remaining"] == str(MOST - 1)
    with server.client() as redis:
        assert any(api.user_id.encode() in key for key in redis.scan_iter())


@on_sqlite
def test_a_redis_with_a_password_over_tcp_counts(make_app, redis_server):
    with redis_server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "limited", "on", ">p%ss:word", "~*", "+@all")
    url = redis_server.url.replace("unix://", "unix://limited:p%25ss%3Aword@")
    app = make_app(REDIS_URL=url, API_REQUESTS_PER_MINUTE=MOST)
    api = People(app).customer()
    assert api.get("/api/auth/me").status_code == 200
    with redis_server.client() as redis:
        assert any(api.user_id.encode() in key for key in redis.scan_iter())
    with app.app_context():
        jobs.redis_for_web().close()


def test_memory_counts_as_redis_does(travel):
    memory = throttle._Memory()
    for _ in range(3):
        assert memory.hit("a", most=3, seconds=60)
        travel(seconds=10)
    hit = memory.hit("a", most=3, seconds=60)
    assert (bool(hit), hit.remaining, hit.reset_seconds) == (False, 0, 30)
    travel(seconds=30)
    assert memory.hit("a", most=3, seconds=60)
    assert not memory.hit("a", most=3, seconds=60)


def test_memory_forgets_who_was_quiet_for_the_longest(monkeypatch):
    monkeypatch.setattr(throttle, "MOST_IN_MEMORY", 2)
    memory = throttle._Memory()
    for key in ("a", "b", "a", "c"):
        memory.hit(key, most=9, seconds=60)
    assert list(memory._windows) == ["a", "c"]
