"""Wording messages of the outbox without sending them."""

from uuid import UUID

from sqlalchemy import insert, select

from delivery.database import db, new_id, now, transaction
from delivery.deliveries import messages, told
from delivery.notifications.channels import Defer, Suppress
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.models import OutboxMessage

_messages = OutboxMessage.__table__


def claimed(row):
    return ClaimedMessage(**{name: getattr(row, name) for name in ClaimedMessage.__slots__})


def rows(app):
    with app.app_context():
        return db.session.execute(select(_messages).order_by(_messages.c.id)).all()


def cells(app):
    """(event, audience, channel) of every message, in the order of writing."""
    return [(row.event, row.audience, row.channel) for row in rows(app)]


def verdicts(app):
    """{(event, audience, channel): a letter, or why there is none} of every message, all composed at once."""
    found = rows(app)
    with app.app_context():
        made = messages.compose([claimed(row) for row in found])
    return {(row.event, row.audience, row.channel): _plain(made[row.id]) for row in found}


def _plain(verdict):
    if isinstance(verdict, Suppress):
        return verdict.reason
    return (verdict.reason, verdict.until) if isinstance(verdict, Defer) else verdict


def write_every_cell(app, delivery):
    """Put a message for every cell of the table into the outbox, whether it is on or off."""
    common = {"delivery_id": UUID(delivery["id"]), "seq": 1, "locale": None, "data": {}, "attempts": 0}
    common |= {"state": "pending", "next_at": now(), "created_at": now()}
    with app.app_context(), transaction():
        db.session.execute(OutboxMessage.__table__.delete())
        for event in told.EVENTS:
            for audience in told.AUDIENCES:
                for channel in told.CHANNELS:
                    identity = new_id()
                    row = {
                        **common,
                        "id": identity,
                        "recipient_id": identity,  # told once: each is somebody else here
                        "event": event,
                        "audience": audience,
                        "channel": channel,
                        "lane": str(identity),
                        "template": told.template_of(event, channel),
                    }
                    db.session.execute(insert(_messages).values(row))
