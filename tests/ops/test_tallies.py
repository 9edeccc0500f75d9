"""What the web processes count: by route and not by address, over all processes, whoever dies."""

import os
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from delivery.app import create_app
from delivery.database import db, engines, reader
from delivery.ops import tallies
from delivery.ops.schema import upgrade
from delivery.ops.tallies import BOUNDS, OTHER, UNMATCHED, Tallies
from tests.conftest import close, settings
from tests.notifications.conftest import on_sqlite
from tests.ops.test_gunicorn import Gunicorn
from tests.ops.test_metrics import scraped
from tests.servers.waiting import wait_until


def requests(app):
    """{(route, method, status): count} of one scrape."""
    return {
        (route, method, status): count
        for (name, *labels), count in scraped(app).items()
        if name == "http_requests_total"
        for method, route, status in [labels]
    }


def new_requests(app, ask):
    before = Counter(requests(app))
    ask()
    after = Counter(requests(app))
    return {key: count for key, count in (after - before).items() if key[0] != "/metrics"}


@on_sqlite
def test_requests_are_counted_by_route_method_and_status(app, api):
    delivery = api.create()

    def ask():
        for identity in (delivery["id"], delivery["id"], "00000000-0000-7000-8000-000000000000"):
            api.get(f"/api/deliveries/{identity}")
        api.get(f"/api/deliveries/{delivery['id']}?secret=hush")
        app.test_client().get(f"/api/deliveries/{delivery['id']}")

    route = "/api/deliveries/<uuid:delivery_id>"
    assert new_requests(app, ask) == {
        (route, "GET", "200"): 2, (route, "GET", "404"): 1, (route, "GET", "422"): 1, (route, "GET", "401"): 1,
    }  # fmt: skip


@on_sqlite
def test_what_leads_nowhere_is_one_series_whatever_is_asked(app):
    client = app.test_client()

    def ask():
        for path in ("/x", "/wp-login.php", "/api/../etc", "/api/deliveries/1/2/3"):
            client.get(path)
        client.open("/y", method="BREW")
        client.open("/y", method="x" * 40)
        client.post("/healthz")

    found = new_requests(app, ask)
    assert found == {
        (UNMATCHED, "GET", "404"): 4,
        (UNMATCHED, OTHER, "404"): 2,
        (UNMATCHED, "POST", "405"): 1,
    }


@on_sqlite
def test_an_error_of_ours_is_counted_and_leaves_nothing_in_flight(app, monkeypatch):
    def broken():
        raise RuntimeError

    monkeypatch.setitem(app.view_functions, "health.healthz", broken)
    assert new_requests(app, lambda: app.test_client().get("/healthz")) == {("/healthz", "GET", "500"): 1}
    assert scraped(app)["http_requests_in_flight",] == 1  # the scrape itself


@on_sqlite
def test_a_status_that_http_does_not_list_has_a_place(app, monkeypatch):
    monkeypatch.setitem(app.view_functions, "health.healthz", lambda: ("", 299))
    assert new_requests(app, lambda: app.test_client().get("/healthz")) == {("/healthz", "GET", OTHER): 1}


def test_durations_lie_in_the_buckets_that_they_belong_to():
    found = Tallies([("/a", "GET"), *((UNMATCHED, method) for method in tallies.METHODS)], slots=1)
    for seconds in (0.0, 0.0025, 0.3, 99.0):
        found.count("/a", "GET", status=200, seconds=seconds)
    (one,) = found.answered()
    assert dict(one.buckets) == {str(bound): count for bound, count in zip(BOUNDS, [2] * 7 + [3] * 5, strict=True)} | {
        "+Inf": 4
    }
    assert one.seconds == pytest.approx(99.3025)
    assert one.statuses == {"200": 4}


def test_each_process_counts_in_its_slot_and_the_counts_outlive_it():
    found = Tallies([(UNMATCHED, method) for method in tallies.METHODS], slots=3)
    held = []
    for _ in range(2):
        slot = found.reserve(held)
        held.append(slot)
        child = os.fork()
        if not child:
            found.take(slot)
            for _ in range(1000):
                found.count("/x", "GET", status=404, seconds=0.1)
            found.begin()
            found.hold(0, 1)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
    assert [one.statuses for one in found.answered()] == [{"404": 2000}]
    assert found.in_flight() == 2
    for slot in held:
        found.clear(slot)
    assert found.in_flight() == 0
    assert [count for *_, count in found.held()] == [0] * 4
    assert [one.statuses for one in found.answered()] == [{"404": 2000}]
    assert found.reserve([0]) == 1
    assert found.reserve([0, 1]) == found.reserve([0, 1, 2]) == 2  # the last one is shared where there are too many


def test_connections_in_use_are_told_by_process_and_pool(app):
    def held(pool):
        return {name: count for _, name, count in tallies.of(app).held()}[pool]

    with app.app_context():
        assert (held("write"), held("read")) == (0, 0)
        reader()
        with db.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            assert (held("write"), held("read")) == (1, 1)
            connection.invalidate()
    assert (held("write"), held("read")) == (0, 0)
    found = scraped(app)
    assert found["db_pool_checked_out", "read", "0"] == 1  # the scrape's own
    assert found["db_pool_size", "kept", "read"] > 0


def test_a_connection_that_nobody_got_is_not_counted(make_app, tmp_path):
    app = make_app(DATABASE_URL=f"postgresql://x@/x?host={tmp_path}", DB_POOL_SIZE=1, DB_POOL_TIMEOUT_SECONDS=1)
    for _ in range(3):
        assert app.test_client().get("/metrics", headers={"Authorization": "x"}).status_code == 401
        assert app.test_client().get("/readyz").status_code == 503
    assert {count for *_, count in tallies.of(app).held()} == {0}


def test_a_pool_that_is_empty_shows_as_full(make_app, database_url):
    if database_url.startswith("sqlite"):
        pytest.skip("its pools do not end")
    app = make_app(DB_POOL_SIZE=1, DB_POOL_TIMEOUT_SECONDS=1)
    writing, _ = engines(app)
    with writing.connect():
        with pytest.raises(PoolTimeout):
            writing.connect()
        found = scraped(app)
    assert found["db_pool_checked_out", "write", "0"] == found["db_pool_size", "kept", "write"] == 1
    assert found["db_pool_size", "overflow", "write"] == 0


# gunicorn

UNFINISHED = (
    b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
)


def samples(gunicorn):
    status, _, body = gunicorn.ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status == 200, body
    return [one for family in text_string_to_metric_families(body.decode()) for one in family.samples]


def counted(gunicorn):
    return {
        sample.labels["status"]: sample.value
        for sample in samples(gunicorn)
        if sample.name == "delivery_http_requests_total" and sample.labels["route"] == "/healthz"
    }


def flying(gunicorn):
    return next(one.value for one in samples(gunicorn) if one.name == "delivery_http_requests_in_flight")


def asked(gunicorn):
    """The place of the process that answered: it holds a connection to answer by."""
    held = [one for one in samples(gunicorn) if one.name == "delivery_db_pool_checked_out" and one.value]
    return {one.labels["process"] for one in held}


def workers_of(gunicorn):
    pid = gunicorn.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_any_worker_tells_of_all_and_deaths_and_reloads_lose_nothing(tmp_path):
    app = create_app(settings(tmp_path))
    upgrade(app)
    close(app)
    gunicorn = Gunicorn(tmp_path, "WEB_WORKERS=3\n", workers=3)

    def ask(times):
        for _ in range(times):
            gunicorn.ask(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    try:
        ask(30)
        assert [counted(gunicorn) for _ in range(6)] == [{"200": 30}] * 6
        places = set()
        wait_until(lambda: places.update(asked(gunicorn)) or len(places) > 1, what="two that answer", seconds=20)
        with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=10) as connection:
            connection.sendall(UNFINISHED)
            wait_until(lambda: flying(gunicorn) == 2, what="the unfinished request", seconds=10)
            for worker in workers_of(gunicorn):
                os.kill(worker, signal.SIGKILL)
            wait_until(lambda: len(gunicorn.booted()) == 6, what="other workers", seconds=30)
        assert flying(gunicorn) == 1
        ask(30)
        assert [counted(gunicorn) for _ in range(6)] == [{"200": 60}] * 6
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(gunicorn.booted()) == 9, what="new workers", seconds=30)
        ask(30)
        assert [counted(gunicorn) for _ in range(6)] == [{"200": 90}] * 6
    finally:
        gunicorn.stop()
