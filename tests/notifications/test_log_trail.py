"""One id leads through the logs: from the request over its message and the job to the line of the send."""

import json

from sqlalchemy import select

from delivery import notifications
from delivery.database import db
from delivery.notifications.channels import Failure
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import Channel
from delivery.ops.worker import worker_of
from delivery.subscriptions import COMPOSERS
from tests.factories import delivery_in
from tests.notifications.conftest import MemoryTransport

CAUSE = "the-cause-7f"


def sending(app):
    """Have the app's own letters sent by a transport in memory."""
    mail = MemoryTransport()
    notifications.init_app(app, COMPOSERS, transports={Channel.MAIL: mail, Channel.SMS: mail, Channel.WEBHOOK: mail})
    return mail


def work(app, channel):
    """Take the jobs of a queue as `flask worker` does, and end."""
    with app.app_context():
        worker_of(channel).work(burst=True, logging_level="WARNING")


def lines(capsys, **having):
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in found if having.items() <= line.items()]


def test_the_id_of_a_request_stands_on_each_line_up_to_the_send(app, api, redis_server, capsys):
    redis_server.flush()
    mail = sending(app)
    delivery = api.create()
    work(app, "mail")
    capsys.readouterr()
    mail.failures.append(Failure("smtp_451", "later"))
    url = f"/api/deliveries/{delivery['id']}/transitions"
    assert api.post(url, json={"to": "cancelled"}, headers={"X-Request-ID": CAUSE}).status_code == 200
    with app.app_context():
        rows = db.session.execute(select(OutboxMessage.id).where(OutboxMessage.request_id == CAUSE)).scalars()
        messages = {str(identity) for identity in rows}
    work(app, "mail")

    found = lines(capsys, request_id=CAUSE)
    (asked,) = [line for line in found if line["msg"] == "request"]
    assert asked["path"] == "/api/deliveries/<uuid:delivery_id>/transitions"
    tried = [line for line in found if line["logger"] == "delivery.notifications.attempts"]
    assert tried
    assert {line["message_id"] for line in tried} <= messages
    assert {line["delivery_id"] for line in tried} == {delivery["id"]}
    assert all(line["job_id"] for line in tried)
    assert "message temporary" in {line["msg"] for line in tried}


def test_what_a_send_itself_logs_has_both_ids(app, api, redis_server, capsys, monkeypatch):
    redis_server.flush()
    mail = sending(app)

    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(type(mail), "send", broken)
    assert api.post("/api/deliveries", json=delivery_in(), headers={"X-Request-ID": CAUSE}).status_code == 201
    capsys.readouterr()
    work(app, "mail")
    (said,) = [line for line in lines(capsys, request_id=CAUSE) if line["msg"] == "the channel broke"][:1]
    assert said["job_id"]
    assert said["message_id"]
