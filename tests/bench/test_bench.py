"""The benchmark: the floor does the same work as the project, the small load generator counts, the table is right."""

import importlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from werkzeug.test import Client

from tests.auth.signing_in import refresh
from tests.factories import PASSWORD, delivery_in

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))  # as it is when bench/bench.py runs
load = importlib.import_module("speed.load")
plan = importlib.import_module("speed.plan")
report = importlib.import_module("speed.report")

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def floor(app, database_url, monkeypatch):
    """The floor on the same database, with the same keys."""
    for name in ("SECRET_KEY", "JWT_SECRET_KEY", "ACCESS_TOKEN_EXPIRE_MINUTES"):
        monkeypatch.setenv(name, str(app.config[name]))
    monkeypatch.setenv("FLOOR_DATABASE", database_url.replace("+psycopg", ""))
    module = importlib.import_module("speed.floor")
    yield Client(module.app)
    module.database().close()
    del module._own.connection


def said(response, *, created=False):
    assert response.status_code < 300, response.text
    return plan._plain(response.json, created=created)


@ON_POSTGRESQL
def test_the_floor_answers_reads_as_the_project_does(api, floor):
    for number in range(4):
        tagged = api.create(reference=f"order-{number}", tags=["fragile", "gift"][: number % 3])
    api.walk(api.create(), "cancelled")
    for path in (f"/api/deliveries/{tagged['id']}", "/api/deliveries?limit=3", "/api/deliveries"):
        assert said(floor.get(path, headers=api.headers)) == said(api.get(path)), path


@ON_POSTGRESQL
def test_what_the_floor_creates_the_project_reads(api, floor):
    made = floor.post("/api/deliveries", json=delivery_in(), headers=api.headers)
    assert said(made, created=True) == said(api.post("/api/deliveries", json=delivery_in()), created=True)
    assert api.get(f"/api/deliveries/{made.json['id']}").json == made.json
    assert [event["to_state"] for event in api.history(made.json)] == ["pending"]


@ON_POSTGRESQL
def test_the_floor_signs_in_and_keeps_others_out(people, floor):
    ada, ben = people.customer(email="ada@shop.example"), people.customer()
    granted = floor.post("/api/auth/login", json={"email": "ada@shop.example", "password": PASSWORD}).json
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    assert refresh(ada.client, granted["refresh_token"]).status_code == 200
    path = f"/api/deliveries/{ada.create()['id']}"
    assert floor.get(path, headers=headers).status_code == 200
    assert ada.client.get(path, headers=headers).status_code == 200
    assert floor.get(path, headers=ben.headers).status_code == 404
    assert floor.get(path, headers={"Authorization": "Bearer garbage"}).status_code == 401
    assert ada.post("/api/auth/logout").status_code == 204
    assert floor.get(path, headers=ada.headers).status_code == 401
    wrong = {"email": "ada@shop.example", "password": "wrong"}
    assert floor.post("/api/auth/login", json=wrong).status_code == 401


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers["Authorization"], body))
        self.send_response(200 if len(self.server.seen) % 10 else 503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_small_client_sends_what_was_prepared_and_counts_what_came(server, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "generator", lambda: "client.py")
    prepared = [("POST", f"/{number}", "token", {"number": number}) for number in range(3)]
    plan.write(tmp_path / "requests", prepared)
    made = load.run(tmp_path / "requests", port=server.server_port, seconds=1, connections=4)
    assert made.requests == len(server.seen) > 20
    assert made.not_2xx == len(server.seen) // 10
    assert 0 < made.p50 <= made.p99 < made.seconds
    assert {(path, token, body["number"]) for path, token, body in server.seen} == {
        (f"/{number}", "Bearer token", number) for number in range(3)
    }


def test_the_table_says_how_many_times_the_floor():
    def sample(*, cpu, requests=1000, not_2xx=0):
        made = load.Load(requests, 2.0, p50=0.01, p99=0.05, not_2xx=not_2xx, broken=0)
        return {"load": made, "server": cpu * requests / 1000, "postgres": requests / 1000}

    samples = {
        ("create", "delivery"): [sample(cpu=4), sample(cpu=3, requests=500), sample(cpu=9, not_2xx=2)],
        ("create", "floor"): [sample(cpu=1), sample(cpu=1), sample(cpu=1, requests=3000)],
    }
    compared = report.compare(["create"], samples)
    assert compared["create"]["ratios"] == [2.5, 2.0, 5.0]
    assert report.table(compared)[2:] == [
        "| create | delivery | 500 | 10.0 | 50.0 | 5.00 | 1.00 | 2.50 | 2.5 | 2 |",
        "| create | floor | 500 | 10.0 | 50.0 | 2.00 | 1.00 | 1 |  | 0 |",
    ]
