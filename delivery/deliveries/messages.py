"""Who is told what about a delivery, and, when it is sent, in which words and to which address."""

from collections.abc import Iterator
from typing import Any

from flask import current_app
from sqlalchemy import and_, select
from sqlalchemy.sql.expression import bindparam

from delivery.database import reader
from delivery.deliveries.events import DeliveryCreated, DeliveryMoved
from delivery.deliveries.models import Delivery, DeliveryEventDetail
from delivery.deliveries.states import State
from delivery.notifications.channels import Letter, Suppress
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.rendering import letter
from delivery.notifications.services import NewMessage
from delivery.notifications.states import Channel
from delivery.users.models import User

SENDER, RECIPIENT = "sender", "recipient"
_MAIL, _SMS = Channel.MAIL, Channel.SMS
# Event, audience, channels: what is on by default (design: who is told).
_BOTH_BY_MAIL: dict[str, tuple[Channel, ...]] = {SENDER: (_MAIL,), RECIPIENT: (_MAIL,)}
_BOTH_AND_SMS: dict[str, tuple[Channel, ...]] = {SENDER: (_MAIL,), RECIPIENT: (_MAIL, _SMS)}
TOLD: dict[str, dict[str, tuple[Channel, ...]]] = {
    "created": _BOTH_BY_MAIL,
    State.OUT_FOR_DELIVERY: {RECIPIENT: (_MAIL, _SMS)},
    State.DELIVERED: _BOTH_AND_SMS,
    State.ATTEMPT_FAILED: _BOTH_AND_SMS,
    State.ON_HOLD: _BOTH_BY_MAIL,
    State.RETURNED: _BOTH_BY_MAIL,
    State.LOST: _BOTH_BY_MAIL,
    State.CANCELLED: _BOTH_BY_MAIL,
}
TEMPLATES = tuple(str(event) for event in TOLD)


def created(fact: DeliveryCreated) -> list[NewMessage]:
    """A draft is nobody's business yet."""
    return [] if fact.status == State.DRAFT else list(_messages(fact, "created"))


def moved(fact: DeliveryMoved) -> list[NewMessage]:
    """A draft that becomes pending is news as a whole; one that is dropped was never anybody's business."""
    if fact.from_status != State.DRAFT:
        return list(_messages(fact, fact.status))
    return list(_messages(fact, "created")) if fact.status == State.PENDING else []


def _messages(fact: DeliveryCreated | DeliveryMoved, event: str) -> Iterator[NewMessage]:
    for audience, channels in TOLD.get(event, {}).items():
        for channel in channels:
            if audience == SENDER or _reachable(fact, channel):
                yield NewMessage(
                    channel=channel,
                    audience=audience,
                    recipient_id=fact.owner_id if audience == SENDER else fact.delivery_id,
                    owner_id=fact.owner_id,
                    template=event,
                    event=event,
                    locale=None if audience == SENDER else fact.recipient_locale,
                    delivery_id=fact.delivery_id,
                    seq=fact.seq,
                )


def _reachable(fact: DeliveryCreated | DeliveryMoved, channel: Channel) -> bool:
    return fact.recipient_has_email if channel is Channel.MAIL else fact.recipient_has_phone


_FACTS = (
    select(
        Delivery.tracking_number,
        Delivery.item_name,
        Delivery.reference,
        Delivery.status,
        Delivery.window_earliest,
        Delivery.window_latest,
        Delivery.recipient_name,
        Delivery.recipient_email,
        Delivery.recipient_phone,
        Delivery.deleted_at,
        User.name.label("sender_name"),
        User.email.label("sender_email"),
        User.phone.label("sender_phone"),
        User.locale.label("sender_locale"),
        User.time_zone.label("sender_time_zone"),
        DeliveryEventDetail.public_note,
    )
    .join_from(Delivery, User, User.id == Delivery.owner_id)
    .join(
        DeliveryEventDetail,
        and_(DeliveryEventDetail.delivery_id == Delivery.id, DeliveryEventDetail.seq == bindparam("seq")),
        isouter=True,
    )
    .where(Delivery.id == bindparam("delivery_id"))
)


def compose(message: ClaimedMessage) -> Letter | Suppress:
    """Look up who a message goes to and what it says, at the moment it is sent."""
    row = reader().execute(_FACTS, {"delivery_id": message.delivery_id, "seq": message.seq}).one()
    if row.deleted_at is not None:
        return Suppress("delivery_deleted")
    address = getattr(row, f"{message.audience}_{'email' if message.channel == Channel.MAIL else 'phone'}")
    if address is None:
        return Suppress("no_address")
    return letter(
        message.template,
        locale=row.sender_locale if message.audience == SENDER else message.locale,
        time_zone=row.sender_time_zone if message.audience == SENDER else None,
        channel=message.channel,
        address=address,
        context=_context(message, row),
        headers={"X-Delivery-Event": message.event, "X-Delivery-Number": row.tracking_number},
    )


def _context(message: ClaimedMessage, row: Any) -> dict[str, Any]:
    return {
        "audience": message.audience,
        "company": current_app.config["COMPANY_NAME"],
        "delivery": row,
        "recipient_name": row.recipient_name,
        "sender_name": row.sender_name,
        "public_note": row.public_note,
    }
