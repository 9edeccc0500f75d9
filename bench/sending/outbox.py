"""What is sent: messages of real deliveries, written in bulk or one by one, and webhooks to many endpoints."""

import secrets
from datetime import timedelta

from speed import data
from sqlalchemy import insert, text

from delivery import clock
from delivery.database import db, new_id, transaction
from delivery.deliveries.numbering import number_new_events
from delivery.notifications import wording
from delivery.notifications.channels import mime
from delivery.notifications.claims import _message
from delivery.notifications.models import OutboxMessage
from delivery.notifications.services import NewMessage, add
from delivery.webhooks import signing
from delivery.webhooks.models import WebhookEndpoint

_ID = """(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
         || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 4, 15))::uuid"""
_MAILS = f"""
INSERT INTO outbox_messages (id, channel, audience, recipient_id, owner_id, delivery_id, seq, event, template, locale,
    lane, data, state, attempts, next_at, created_at)
SELECT {_ID}, 'mail', audience, whom, owner_id, d.id, 1, 'created', 'created',
    CASE audience WHEN 'recipient' THEN 'en' END, 'mail:' || whom || ':' || d.id, '{{}}', 'pending', 0, now(), now()
FROM (SELECT id, owner_id FROM deliveries ORDER BY id LIMIT (CAST(:count AS int) + 1) / 2) d
    CROSS JOIN LATERAL (VALUES ('sender', d.owner_id), ('recipient', d.id)) told (audience, whom)
LIMIT CAST(:count AS int)"""
_WEBHOOKS = f"""
INSERT INTO outbox_messages (id, channel, audience, recipient_id, owner_id, delivery_id, seq, event, template,
    lane, data, body, state, attempts, next_at, created_at)
SELECT {_ID}, 'webhook', 'endpoint', e.id, e.owner_id, d.id, 1, 'delivery.created', 'webhook',
    'webhook:' || e.id || ':' || d.id, '{{}}', CAST(:body AS text), 'pending', 0, now(), now()
FROM (SELECT id FROM deliveries ORDER BY id LIMIT CAST(:count AS int) / :endpoints + 1) d CROSS JOIN webhook_endpoints e
LIMIT CAST(:count AS int)"""
_BODY = '{"type":"delivery.created","data":{"note":"' + "x" * 500 + '"}}'


def seed(deliveries):
    """Write deliveries, all in the feed already."""
    data.seed(customers=32, deliveries=deliveries)
    number_new_events()


def execute(statement, **values):
    with transaction() as session:
        session.execute(text(statement), values)


def clear():
    """Forget all messages; the tables are as new."""
    execute("TRUNCATE outbox_messages, outbox_attempts CASCADE")


def fill_mails(count):
    """Queue mails, two for each delivery, in one transaction; nobody is woken."""
    execute(_MAILS, count=count)
    analyse()


def fill_webhooks(count, *, endpoints):
    execute(_WEBHOOKS, count=count, endpoints=endpoints, body=_BODY)
    analyse()


def analyse():
    """Do as autovacuum would, which is off."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE outbox_messages"))


def add_endpoints(count, *, port):
    """Write endpoints of a receiver on loopback, one for each path."""
    with db.engine.connect() as connection:
        owner = connection.execute(text("SELECT id FROM users WHERE role = 'customer' LIMIT 1")).scalar_one()
    moment = clock.now() - timedelta(days=1)
    common = {"owner_id": owner, "watches": owner, "events": [], "status": "active", "challenge": secrets.token_hex(16)}
    rows = [
        {
            **common,
            "id": new_id(),
            "url": f"http://127.0.0.1:{port}/{number}",
            "secret": signing.sealed(signing.new_secret()),
            "created_at": moment,
            "updated_at": moment,
        }
        for number in range(count)
    ]
    with transaction() as session:
        session.execute(insert(WebhookEndpoint.__table__), rows)


class Fresh:
    """Messages that are committed one at a time, as requests do: about deliveries that have none in the queue."""

    def __init__(self, *, beyond):
        statement = text("SELECT id, owner_id FROM deliveries ORDER BY id OFFSET :beyond")
        with db.engine.connect() as connection:
            self._rows = iter(connection.execute(statement, {"beyond": beyond}).all())

    def commit(self):
        """Commit one; its workers are woken. Returns its id."""
        row = next(self._rows)
        with transaction():
            [identity] = add(
                [
                    NewMessage(
                        channel="mail",
                        audience="recipient",
                        recipient_id=row.id,
                        owner_id=row.owner_id,
                        template="created",
                        event="created",
                        locale="en",
                        delivery_id=row.id,
                        seq=1,
                    )
                ]
            )
        return str(identity)


def sample():
    """Return a queued mail as a worker writes it: the letter, and its bytes."""
    with db.engine.connect() as connection:
        row = connection.execute(OutboxMessage.__table__.select().where(text("channel = 'mail'")).limit(1)).one()
    [(_, letter)] = wording.worded([_message(row)])
    return letter, mime.content(letter, message_id=f"{row.id}@bench.example", sender="Bench <no-reply@bench.example>")


def states():
    """Return how many messages are in each state."""
    with db.engine.connect() as connection:
        return dict(connection.execute(text("SELECT state, count(*) FROM outbox_messages GROUP BY state")).all())
