"""The trial on real input: its mapping, its play against a small server that can break promises, its sink."""

import argparse
import csv
import importlib
import importlib.util
import json
import smtplib
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))  # as it is when bench/replay.py runs
orders = importlib.import_module("replay.orders")
histories = importlib.import_module("replay.histories")
client = importlib.import_module("replay.client")
mails = importlib.import_module("replay.mails")
measure = importlib.import_module("replay.measure")
playing = importlib.import_module("replay.play")
_spec = importlib.util.spec_from_file_location("replay_command", BENCH / "replay.py")
command = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(command)

ZONE = ZoneInfo("America/Sao_Paulo")
COLUMNS = [
    "order_id",
    "customer_id",
    "order_status",
    "order_purchase_timestamp",
    "order_approved_at",
    "order_delivered_carrier_date",
    "order_delivered_customer_date",
    "order_estimated_delivery_date",
]
BOUGHT, APPROVED, HANDED, ARRIVED = "7/1/2018 10:00", "7/2/2018 11:00", "7/3/2018 12:00", "7/9/2018 13:00"
BOUGHT_Z, APPROVED_Z, HANDED_Z, ARRIVED_Z = (
    "2018-07-01T13:00:00Z",
    "2018-07-02T14:00:00Z",
    "2018-07-03T15:00:00Z",
    "2018-07-09T16:00:00Z",
)
MOVES = 5 + 3 + 1 + 5 + 6 + 1 + 0  # of the rows below
PLAYED_ROWS = [
    ("delivered", BOUGHT, APPROVED, HANDED, ARRIVED),
    ("shipped", BOUGHT, APPROVED, HANDED, ""),
    ("canceled", BOUGHT, APPROVED, "", ""),
    ("canceled", BOUGHT, APPROVED, HANDED, ""),
    ("canceled", BOUGHT, APPROVED, HANDED, ARRIVED),
    ("unavailable", BOUGHT, APPROVED, "", ""),
    ("processing", BOUGHT, APPROVED, "", ""),
]


def write_orders(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, (status, *times) in enumerate(rows):
            writer.writerow([f"order{number:04}", f"customer{number:04}", status, *times, "7/20/2018 0:00"])
    return path


def order_of(tmp_path, status, *times):
    path = write_orders(tmp_path / "orders.csv", [(status, *times)])
    return next(orders.read_orders(path, zone=ZONE))


@pytest.mark.parametrize(
    ("status", "times", "states"),
    [
        ("created", (BOUGHT, "", "", ""), "pending"),
        ("approved", (BOUGHT, APPROVED, "", ""), "pending"),
        ("processing", (BOUGHT, APPROVED, "", ""), "pending"),
        ("invoiced", (BOUGHT, APPROVED, "", ""), "pending"),
        ("unavailable", (BOUGHT, APPROVED, "", ""), "pending cancelled"),
        ("canceled", (BOUGHT, "", "", ""), "pending cancelled"),
        ("shipped", (BOUGHT, APPROVED, HANDED, ""), "pending assigned picked_up in_transit"),
        ("canceled", (BOUGHT, APPROVED, HANDED, ""), "pending assigned picked_up in_transit returning returned"),
        (
            "canceled",
            (BOUGHT, APPROVED, HANDED, ARRIVED),
            "pending assigned picked_up in_transit out_for_delivery returning returned",
        ),
        (
            "delivered",
            (BOUGHT, APPROVED, HANDED, ARRIVED),
            "pending assigned picked_up in_transit out_for_delivery delivered",
        ),
    ],
)
def test_each_file_status_has_its_life_and_every_move_of_it_is_legal(tmp_path, status, times, states):
    order = order_of(tmp_path, status, *times)
    assert " ".join(order.states) == states
    for before, after in zip(order.states, order.states[1:], strict=False):
        assert before in histories.LEGAL_FROM[after]


def test_times_are_read_in_the_zone_and_sent_in_utc(tmp_path):
    order = order_of(tmp_path, "delivered", BOUGHT, APPROVED, HANDED, ARRIVED)
    assert [move.occurred_at for move in order.moves] == [APPROVED_Z, HANDED_Z, HANDED_Z, ARRIVED_Z, ARRIVED_Z]
    assert order.delivery["description"] == f"Purchased {BOUGHT_Z}"
    assert order.delivery["window"] == {"latest": "2018-07-20T03:00:00Z"}


def test_summer_time_of_the_zone_counts(tmp_path):
    order = order_of(tmp_path, "canceled", "1/15/2018 10:00", "", "", "")
    assert order.moves[0].occurred_at == "2018-01-15T12:00:00Z"


def test_a_time_that_runs_backwards_is_sent_as_it_is(tmp_path):
    order = order_of(tmp_path, "shipped", BOUGHT, ARRIVED, HANDED, "")
    assert [move.occurred_at for move in order.moves] == [ARRIVED_Z, HANDED_Z, HANDED_Z]


def test_a_missing_time_is_that_of_the_step_before(tmp_path):
    order = order_of(tmp_path, "delivered", BOUGHT, "", HANDED, "")
    assert [move.occurred_at for move in order.moves] == [BOUGHT_Z, HANDED_Z, HANDED_Z, HANDED_Z, HANDED_Z]


def test_an_unknown_status_names_its_line(tmp_path):
    path = write_orders(tmp_path / "orders.csv", [PLAYED_ROWS[0], ("eaten", BOUGHT, "", "", "")])
    with pytest.raises(ValueError, match="line 3: unknown order_status 'eaten'"):
        list(orders.read_orders(path, zone=ZONE))


def test_the_mails_due_are_those_of_the_table(tmp_path):
    order = order_of(tmp_path, "delivered", BOUGHT, APPROVED, HANDED, ARRIVED)
    given_up = playing.Played(order, "id", "N2", error="409")
    due = mails.due([playing.Played(order, "id", "N1"), given_up], sender="me@example.com")
    to = order.recipient
    assert due == Counter(
        [
            ("me@example.com", "created", "N1"),
            (to, "created", "N1"),
            (to, "out_for_delivery", "N1"),
            ("me@example.com", "delivered", "N1"),
            (to, "delivered", "N1"),
        ]
    )


def test_percentiles_are_nearest_ranks():
    seconds = [number / 1000 for number in range(100, 0, -1)]
    assert measure.latency(seconds) == {"count": 100, "p50_ms": 50.0, "p99_ms": 99.0, "max_ms": 100.0}
    assert measure.latency([])["p99_ms"] is None


class Api:
    """As much of the API as the trial uses, in memory; `break_` makes it break one promise."""

    def __init__(self, smtp_log):
        self.lock = threading.Lock()
        self.smtp_log = smtp_log
        self.token = 0
        self.deliveries = {}
        self.answers = {}
        self.break_ = ""
        self.expire_after = None
        self.drop_after = None
        self.busy_after = None

    def post(self, path, body, key):
        if key in self.answers:
            return self.answers[key]
        answer = self._do(path, body)
        self.answers[key] = answer
        return answer

    def _do(self, path, body):
        if path == "/api/users":
            assert body["role"] == "courier"
            return 201, {"id": "courier-1"}
        if path == "/api/deliveries":
            return 201, self._create(body)
        return self._move(path.split("/")[3], body)

    def _create(self, body):
        number = f"N{len(self.deliveries)}"
        event = {"seq": 1, "from_state": None, "to_state": "pending", "occurred_at": "2025-01-01T00:00:00Z"}
        one = {"id": number.lower(), "tracking_number": number, "status": "pending", "version": 1}
        self.deliveries[one["id"]] = (one, [event], body["recipient"]["email"])
        self._tell(one["id"], "created")
        return dict(one)

    def _move(self, delivery_id, body):
        one, events, _to = self.deliveries[delivery_id]
        assert body["to"] != "assigned" or body["courier_id"] == "courier-1"
        if self.break_ == "refuses" and body["to"] == "in_transit":
            return 409, {"code": "illegal_move", "detail": "no"}
        start = "draft" if self.break_ == "chain" and body["to"] == "picked_up" else one["status"]
        seq = one["version"] + (2 if self.break_ == "gap" and body["to"] == "delivered" else 1)
        times = "2001-01-01T00:00:00Z" if self.break_ == "time" else body["occurred_at"]
        events.append({"seq": seq, "from_state": start, "to_state": body["to"], "occurred_at": times})
        one.update(status=body["to"], version=seq)
        self._tell(delivery_id, body["to"])
        return 200, dict(one)

    def _tell(self, delivery_id, event):
        one, _events, to = self.deliveries[delivery_id]
        audiences = [] if event in {"assigned", "picked_up", "in_transit", "returning"} else ["me@example.com", to]
        if event == "out_for_delivery":
            audiences = [to]
        if self.break_ == "mail lost" and event == "delivered":
            audiences = [to]
        for address in audiences:
            self._mail(address, event, one["tracking_number"])
        if self.break_ == "mail twice" and event == "delivered":
            self._mail(to, event, one["tracking_number"])

    def _mail(self, address, event, number):
        line = {"time": 1.0, "rcpts": [address], "message_id": f"{address} {event} {number}"}
        with self.smtp_log.open("a") as log:
            log.write(json.dumps(line | {"event": event, "number": number}) + "\n")

    def get(self, path):
        if path == "/api/auth/me":
            return 200, {"email": "me@example.com"}
        one, events, _to = self.deliveries[path.split("/")[3]]
        if "/events" not in path:
            shown = "lost" if self.break_ == "status" and one["status"] == "delivered" else one["status"]
            return 200, one | {"status": shown}
        half = len(events) // 2  # two pages, so that the cursor is followed
        if "cursor=" in path:
            return 200, {"items": events[half:], "next_cursor": None}
        return 200, {"items": events[:half], "next_cursor": "next"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    disable_nagle_algorithm = True

    def do_GET(self):
        self._authorized(lambda api: api.get(self.path))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        api = self.server.api
        if self.path == "/api/auth/login":
            with api.lock:
                api.token += 1
                self._answer(200, {"access_token": f"token-{api.token}"})
            return
        self._authorized(lambda api: api.post(self.path, body, self.headers["Idempotency-Key"]))

    def _authorized(self, do):
        api = self.server.api
        with api.lock:
            if len(api.answers) == api.expire_after:
                api.token, api.expire_after = api.token + 1, None
            if self.headers["Authorization"] != f"Bearer token-{api.token}":
                self._answer(401, {"code": "unauthorized"})
                return
            if len(api.answers) == api.busy_after:
                api.busy_after = None
                self._answer(409, {"code": "in_progress"}, {"Retry-After": "0"})
                return
            replayed = self.headers["Idempotency-Key"] in api.answers
            status, body = do(api)
            if len(api.answers) == api.drop_after:
                api.drop_after = None
                self.close_connection = True  # committed, and the answer never left
                return
        self._answer(status, body, {"Idempotent-Replayed": "true"} if replayed else {})

    def _answer(self, status, body, headers=None):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def api(tmp_path):
    (tmp_path / "smtp.jsonl").touch()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.api = Api(tmp_path / "smtp.jsonl")
        server.api.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.api
        server.shutdown()
        thread.join()


@pytest.fixture
def run(api, tmp_path, monkeypatch):
    monkeypatch.setattr(mails, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(mails, "POLL_SECONDS", 0.02)
    path = write_orders(tmp_path / "orders.csv", PLAYED_ROWS)
    args = argparse.Namespace(
        url=api.url, email="me@example.com", password="secret", courier_id=None, concurrency=3, pid=None,
        smtp_log=api.smtp_log, mail_limit=5.0,
    )  # fmt: skip
    return lambda: command.trial(args, list(orders.read_orders(path, zone=ZONE)))


def test_a_true_server_passes(run):
    report, found = run()
    assert found == []
    assert report["orders"]["final state and history sound"] == len(PLAYED_ROWS)
    assert report["orders"]["file status -> final state"]["canceled -> returned"] == 2
    assert (report["mail"]["due"], report["mail"]["received"]) == (26, 26)
    assert report["speed"]["requests"]["create"]["count"] == len(PLAYED_ROWS)


def test_a_second_run_doubles_nothing(run, api):
    run()
    report, found = run()
    assert found == []
    assert len(api.deliveries) == len(PLAYED_ROWS)
    assert report["speed"]["odd"] == {"replayed": 1 + len(PLAYED_ROWS) + MOVES}
    assert "create" not in report["speed"]["requests"]


def test_a_dead_token_a_lost_answer_and_a_busy_twin_are_got_over(run, api):
    api.expire_after, api.drop_after, api.busy_after = 5, 9, 12
    report, found = run()
    assert found == []
    assert report["speed"]["odd"]["lost connections"] == 1
    assert report["speed"]["odd"]["answers 409"] == 1
    assert len(api.deliveries) == len(PLAYED_ROWS)


@pytest.mark.parametrize(
    ("promise", "breach"),
    [
        ("refuses", "move 3 to in_transit: 409 illegal_move: no"),
        ("gap", "seq has gaps: [1, 2, 3, 4, 5, 7]"),
        ("chain", "seq 3 starts from draft, the one before ended in assigned"),
        ("time", "occurred_at is ['2001-01-01T00:00:00Z'"),
        ("status", "status is lost, the file says delivered"),
        ("mail lost", "missing: delivered of N"),
        ("mail twice", "twice: customer0000@recipients.example delivered"),
    ],
)
def test_a_broken_promise_is_found(run, api, promise, breach):
    api.break_ = promise
    report, found = run()
    assert any(breach in line for line in found)
    assert report["breaches"] == len(found)


def test_an_illegal_pair_is_found():
    link = {"seq": 4, "from_state": "pending", "to_state": "delivered"}
    assert histories._of_the_link(link, before="pending") == ["seq 4: pending to delivered is not legal"]
    assert histories._of_no_way_back(["picked_up", "on_hold", "pending"]) == ["went to pending after pick-up"]


@contextmanager
def sink(log):
    process = subprocess.Popen(
        [sys.executable, BENCH / "smtp_sink.py", log], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    with process:
        try:
            yield int(process.stdout.readline().split()[-1])
        finally:
            process.terminate()
            assert process.wait(10) == 0


def test_the_sink_writes_a_line_before_it_acknowledges(tmp_path):
    log = tmp_path / "mails.jsonl"
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "us@example.com", "you@example.com", "Zugestellt: Päckchen"
    mail["Message-ID"], mail["X-Delivery-Event"], mail["X-Delivery-Number"] = "<1@example.com>", "delivered", "N1"
    mail.set_content("It arrived.")
    with sink(log) as port, smtplib.SMTP("127.0.0.1", port) as smtp:
        smtp.send_message(mail)
        line = json.loads(log.read_text())
    assert line.pop("time") > 1e9
    assert line.pop("size") > 100
    assert line == {
        "mail_from": "us@example.com",
        "rcpts": ["you@example.com"],
        "message_id": "<1@example.com>",
        "subject": "Zugestellt: Päckchen",
        "event": "delivered",
        "number": "N1",
    }


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(tmp_path):
    log = tmp_path / "mails.jsonl"
    line = json.dumps({"time": 5.0, "rcpts": ["a@b.example"], "message_id": "1", "event": "created", "number": "N1"})
    log.write_text(line[:20])
    inbox = mails.Inbox(log, frozenset({"N1"}))
    assert inbox.read_on() == 0
    with log.open("a") as file:
        file.write(line[20:] + "\n")
    assert inbox.read_on() == 1
    assert inbox.mails == Counter({("a@b.example", "created", "N1"): 1})
