"""Endpoints and webhooks in the database, without a receiver."""

from uuid import UUID

from sqlalchemy import select, update

from delivery.cli import CLI
from delivery.database import db, transaction
from delivery.notifications.models import OutboxMessage
from delivery.webhooks import services
from delivery.webhooks.models import WebhookEndpoint


def endpoint(app, owner_id, *, status="unverified", reason=None, url="https://hooks.example/in"):
    """The id of a new endpoint of somebody's."""
    with app.app_context(), transaction():
        made, _ = services.create(CLI, owner_id=UUID(owner_id), url=url)
        values = {"status": status, "disabled_reason": reason}
        db.session.execute(update(WebhookEndpoint).where(WebhookEndpoint.id == made.id).values(values))
    return str(made.id)


def webhook(app, owner_id):
    """The id of a webhook that never arrived, to an endpoint of somebody's."""
    of = endpoint(app, owner_id, status="active")
    with app.app_context(), transaction():
        services.send_test(db.session.get(WebhookEndpoint, UUID(of)))
        sent = select(OutboxMessage.id).where(OutboxMessage.recipient_id == UUID(of), OutboxMessage.event != "x")
        message_id = db.session.execute(sent.order_by(OutboxMessage.id.desc()).limit(1)).scalar_one()
        dead = {"state": "dead", "settled_at": OutboxMessage.created_at}
        db.session.execute(update(OutboxMessage).where(OutboxMessage.id == message_id).values(dead))
    return str(message_id)
