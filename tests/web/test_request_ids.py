"""X-Request-ID: taken, made where it is missing or bad, returned, and kept with what the request caused."""

from flask import request
from sqlalchemy import select

from delivery import logs
from delivery.database import db
from delivery.notifications.models import OutboxMessage


def test_a_request_id_comes_back(client):
    for given in ("a", "A-Z_0.9:x", "0" * 64):
        response = client.get("/healthz", headers={"X-Request-ID": given})
        assert response.headers["X-Request-ID"] == given
        assert client.get("/nowhere", headers={"X-Request-ID": given}).json["request_id"] == given


def test_a_bad_request_id_is_replaced(client):
    for given in ("", " ", "a b", "0" * 65, "a,b", "é", "<script>", "a;b", "x" * 20_000, '"a"'):
        response = client.get("/nowhere", headers={"X-Request-ID": given})
        made = response.headers["X-Request-ID"]
        assert made != given
        assert len(made) == 32
        assert response.json["request_id"] == made


def test_two_requests_have_two_ids(client):
    ids = {client.get("/healthz").headers["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3


def test_a_request_id_stands_on_the_event_and_on_its_messages(app, api):
    headers = {"X-Request-ID": "the-cause"}
    delivery = api.create()
    response = api.post(f"/api/deliveries/{delivery['id']}/transitions", json={"to": "cancelled"}, headers=headers)

    assert response.status_code == 200
    with app.app_context():
        told = db.session.execute(select(OutboxMessage.request_id, OutboxMessage.seq)).all()
    assert {row.request_id for row in told if row.seq == 2} == {"the-cause"}
    first, second = api.history(delivery)
    assert second["request_id"] == "the-cause"
    assert first["request_id"] not in {None, "the-cause"}


def test_a_request_inside_another_leaves_no_id_behind(api, monkeypatch):
    def ask_again():
        if request.path == "/api/auth/me":
            assert api.get("/api/deliveries").status_code == 200

    asking = [*api.app.before_request_funcs[None], ask_again]
    monkeypatch.setitem(api.app.before_request_funcs, None, asking)
    assert api.get("/api/auth/me").status_code == 200
    assert logs.current_request_id() is None
