"""Text messages about a delivery, sent through Twilio's protocol, and what comes back of them."""

import uuid

from sqlalchemy import delete, select

from delivery.database import db, transaction
from delivery.notifications import jobs as drains
from delivery.notifications.models import OutboxMessage
from delivery.notifications.receipts import MessageReceipt
from delivery.notifications.services import NewMessage, add
from delivery.notifications.states import Channel
from tests.notifications.conftest import rows

BASE = "http://127.0.0.1:8000"
NUMBER = "+442079460000"


def settings(twilio, **more):
    """What an app needs to send by this server."""
    given = {"SMS_PROVIDER": "twilio", "SMS_API_KEY": twilio.account, "SMS_API_SECRET": twilio.token}
    given |= {"SMS_FROM": "+15005550006", "TWILIO_BASE_URL": twilio.url, "PUBLIC_BASE_URL": BASE}
    return {**given, "SMS_TIMEOUT_SECONDS": 2, **more}


class Texts:
    """An app that sends by Twilio, in its context."""

    def __init__(self, app, twilio, people):
        self.app, self.twilio, self.client = app, twilio, app.test_client()
        self.sender = people.customer()

    def write(self, count=1, *, audience="recipient", **recipient):
        """Commit text messages, each about a delivery of its own and the only message about it; return their ids."""
        given = {"name": "Grace", "email": "grace@home.example", "phone": NUMBER, **recipient}
        deliveries = [uuid.UUID(self.sender.create(recipient=given)["id"]) for _ in range(count)]
        of_whom = uuid.UUID(self.sender.user_id)
        with transaction() as session:
            session.execute(delete(OutboxMessage.__table__).where(OutboxMessage.event == "created"))
            add(
                [
                    NewMessage(
                        channel=Channel.SMS,
                        audience=audience,
                        recipient_id=one if audience == "recipient" else of_whom,
                        delivery_id=one,
                        seq=1,
                        template="out_for_delivery",
                        event="out_for_delivery",
                    )
                    for one in deliveries
                ]
            )
        return [row.id for row in rows() if row.delivery_id in deliveries]

    def send(self, **options):
        """Write one, and send it; return its id."""
        [identity] = self.write(**options)
        self.deliver()
        return identity

    def deliver(self):
        drains.deliver(Channel.SMS, seconds=20)

    def report(self, status, *, error_code=None, message=None, headers=None):
        """Twilio's call about the message that it took last."""
        message = message or self.twilio.messages[-1]
        form, signed = self.twilio.receipt(message, status, error_code=error_code)
        path = message["status_callback"].partition("#")[0].removeprefix(BASE)
        return self.client.post(path, data=form, headers=signed if headers is None else headers)

    def answer(self, body, *, number=NUMBER, **more):
        """Twilio's call when somebody writes to us; give the answer."""
        path, form = "/api/callbacks/twilio/inbound", {"From": number, "To": "+15005550006", "Body": body, **more}
        return self.client.post(path, data=form, headers=self.twilio.signed(BASE + path, form))

    def row(self, identity):
        return next(row for row in rows() if row.id == identity)

    def mails(self):
        return [row for row in rows() if row.channel == Channel.MAIL]

    def receipts(self):
        table = MessageReceipt.__table__
        with db.engine.connect() as connection:
            return [(one.status, one.source) for one in connection.execute(select(table).order_by(table.c.id))]
