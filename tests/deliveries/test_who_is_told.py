"""Which rows a change puts into the outbox."""

from sqlalchemy import select

from delivery.database import db
from delivery.notifications.models import OutboxMessage


def told(app):
    """(event, audience, channel) of every message, in the order of writing."""
    query = select(OutboxMessage.event, OutboxMessage.audience, OutboxMessage.channel).order_by(OutboxMessage.id)
    with app.app_context():
        return [tuple(row) for row in db.session.execute(query)]


ANY = {"If-Match": "*"}
CREATED = [("created", "sender", "mail"), ("created", "recipient", "mail")]


def test_a_draft_is_nobodys_business_until_it_is_pending(app, api):
    draft = api.create(draft=True)
    assert told(app) == []

    api.walk(draft, "pending")
    assert told(app) == CREATED


def test_a_dropped_draft_never_was_anybodys_business(app, api):
    api.walk(api.create(draft=True), "cancelled")

    assert told(app) == []


def test_what_was_announced_is_also_called_off(app, api):
    api.walk(api.create(), "cancelled")

    assert told(app) == [*CREATED, ("cancelled", "sender", "mail"), ("cancelled", "recipient", "mail")]


def test_the_recipient_is_told_by_what_is_known(app, api, people):
    delivery = api.create(recipient={"name": "Grace", "phone": "+442079460000"})
    people.dispatcher().walk(delivery, "picked_up", "out_for_delivery")

    assert told(app) == [("created", "sender", "mail"), ("out_for_delivery", "recipient", "sms")]


def test_an_edit_tells_nobody(app, api):
    delivery = api.create()
    api.patch(f"/api/deliveries/{delivery['id']}", json={"item_name": "Red"}, headers={"If-Match": '"1"'})

    assert told(app) == CREATED


def test_news_of_an_edit_waits_in_a_lane_of_its_own(app, api):
    """That something was edited does not make it stale that nobody was at home."""
    switches = {"events": {"updated": {"recipient": {"mail": True}}}}
    delivery = api.create(notifications=switches)
    assert api.patch(f"/api/deliveries/{delivery['id']}", json={"description": "x"}, headers=ANY).status_code == 200
    query = select(OutboxMessage.event, OutboxMessage.lane).where(OutboxMessage.audience == "recipient")
    with app.app_context():
        lanes = dict(db.session.execute(query).all())
    assert lanes["updated"] == f"{lanes['created']}:edits"
