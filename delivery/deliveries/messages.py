"""Who is told what about a delivery, and, when it is sent, in which words and to which address."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import Row, and_, or_, select
from sqlalchemy.sql.expression import bindparam

from delivery import clock
from delivery.database import db, reader
from delivery.deliveries import told
from delivery.deliveries.events import DeliveryCreated, DeliveryEdited, DeliveryMoved
from delivery.deliveries.models import Delivery, DeliveryEventDetail
from delivery.deliveries.states import State
from delivery.deliveries.told import CREATED, SENDER, TEMPLATES, UPDATED
from delivery.notifications import opt_outs, preferences, unsubscribing
from delivery.notifications.channels import Defer, Letter, Suppress
from delivery.notifications.events import MessageSettled
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.models import OutboxMessage
from delivery.notifications.preferences import NotificationPreference, Wishes
from delivery.notifications.quiet_hours import quiet_until
from delivery.notifications.rendering import letter
from delivery.notifications.services import NewMessage
from delivery.notifications.states import OPEN, Channel, MessageState
from delivery.users.models import User

__all__ = ["TEMPLATES", "compose", "created", "edited", "instead", "moved", "note_opt_out"]

# What a provider says of a number whose owner told it STOP.
_OPTED_OUT = frozenset({"twilio_21610", "sns_OptedOut"})
# Suppressed for its cost, not because nobody wants it.
_WANTED = frozenset({"daily_cap", "sms_limit"})


def created(fact: DeliveryCreated) -> list[NewMessage]:
    """A draft is nobody's business yet."""
    return [] if fact.quiet or fact.status == State.DRAFT else list(_messages(fact, CREATED))


def moved(fact: DeliveryMoved) -> list[NewMessage]:
    """A draft that becomes pending is news as a whole; one that is dropped was never anybody's business."""
    if fact.from_status != State.DRAFT:
        return list(_messages(fact, fact.status))
    return list(_messages(fact, CREATED)) if fact.status == State.PENDING else []


def edited(fact: DeliveryEdited) -> list[NewMessage]:
    """Whoever has switched it on hears of every edit."""
    return [] if fact.quiet or fact.status == State.DRAFT else list(_messages(fact, UPDATED))


def _messages(fact: DeliveryCreated | DeliveryMoved | DeliveryEdited, event: str) -> Iterator[NewMessage]:
    for audience, channel in told.switched_on(event, delivery=fact.switches, sender=fact.owner_switches):
        if audience == SENDER or _reachable(fact, channel):
            yield NewMessage(
                channel=channel,
                audience=audience,
                recipient_id=fact.owner_id if audience == SENDER else fact.delivery_id,
                owner_id=fact.owner_id,
                template=told.template_of(event, channel),
                event=event,
                locale=None if audience == SENDER else fact.recipient_locale,
                delivery_id=fact.delivery_id,
                seq=fact.seq,
                # That something was edited does not make it stale that nobody was at home.
                topic=":edits" if event == UPDATED else "",
            )


def _reachable(fact: DeliveryCreated | DeliveryMoved | DeliveryEdited, channel: Channel) -> bool:
    return fact.recipient_has_email if channel is Channel.MAIL else fact.recipient_has_phone


_m = OutboxMessage.__table__.c
# One statement for a batch, whatever is in it: each message with its delivery, its owner and what that one wants.
_FACTS = (
    select(
        _m.id.label("message_id"),
        Delivery.tracking_number,
        Delivery.item_name,
        Delivery.reference,
        Delivery.status,
        Delivery.window_earliest,
        Delivery.window_latest,
        Delivery.recipient_name,
        Delivery.recipient_email,
        Delivery.recipient_phone,
        Delivery.notifications,
        Delivery.recipient_locale,
        Delivery.deleted_at,
        User.name.label("sender_name"),
        User.email.label("sender_email"),
        User.phone.label("sender_phone"),
        User.locale.label("sender_locale"),
        User.time_zone.label("sender_time_zone"),
        NotificationPreference.cells,
        NotificationPreference.locale,
        NotificationPreference.quiet_from,
        NotificationPreference.quiet_to,
        NotificationPreference.quiet_zone,
        DeliveryEventDetail.public_note,
    )
    .join_from(OutboxMessage, Delivery, Delivery.id == _m.delivery_id)
    .join(User, User.id == Delivery.owner_id)
    .join(NotificationPreference, NotificationPreference.user_id == User.id, isouter=True)
    .join(
        DeliveryEventDetail,
        and_(DeliveryEventDetail.delivery_id == _m.delivery_id, DeliveryEventDetail.seq == _m.seq),
        isouter=True,
    )
    .where(_m.id.in_(bindparam("ids", expanding=True)))
)


@dataclass(frozen=True, slots=True)
class _Addressed:
    """A message, what is known about its delivery, and whom it goes to: an address, and its hash."""

    message: ClaimedMessage
    row: Row[Any]
    address: str
    hashed: bytes


def compose(messages: Sequence[ClaimedMessage]) -> dict[UUID, Letter | Suppress | Defer]:
    """Look up who messages go to, whether they still may, and what they say, at the moment they are sent."""
    rows = {row.message_id: row for row in reader().execute(_FACTS, {"ids": [one.id for one in messages]})}
    found = {one.id: _addressed(one, rows[one.id]) for one in messages}
    addressed = [one for one in found.values() if isinstance(one, _Addressed)]
    silent = opt_outs.in_force({one.hashed for one in addressed})
    set_by = preferences.of_addresses({one.hashed for one in addressed if one.message.audience != SENDER})
    moment = clock.now()
    return {
        identity: _verdict(one, _wishes(one, set_by), silent=one.hashed in silent, moment=moment)
        if isinstance(one, _Addressed)
        else one
        for identity, one in found.items()
    }


def _addressed(message: ClaimedMessage, row: Row[Any]) -> _Addressed | Suppress:
    if row.deleted_at is not None:
        return Suppress("delivery_deleted")
    address = getattr(row, f"{message.audience}_{'email' if message.channel == Channel.MAIL else 'phone'}")
    if address is None:
        return Suppress("no_address")
    return _Addressed(message, row, address, opt_outs.address_hash(message.channel, address))


def _wishes(one: _Addressed, set_by: Mapping[bytes, Wishes]) -> Wishes:
    """Return what the reader has set: an account's came with the facts, a recipient's is known by the address."""
    if one.message.audience == SENDER:
        return preferences.wishes(one.row)
    return set_by.get(one.hashed, preferences.NO_WISHES)


def _verdict(one: _Addressed, wishes: Wishes, *, silent: bool, moment: datetime) -> Letter | Suppress | Defer:
    message = one.message
    if silent:
        return Suppress("opted_out")
    switches = {"delivery": one.row.notifications or {}, "person": wishes.cells}
    stands_in = "instead_of" in message.data
    if reason := told.why_not(message.event, message.audience, message.channel, **switches, stands_in=stands_in):
        return Suppress(reason)
    if until := _quiet_until(message, wishes, moment):
        return Defer("quiet_hours", until)
    return _letter(
        one, locale=wishes.locale or (one.row.sender_locale if message.audience == SENDER else message.locale)
    )


def _quiet_until(message: ClaimedMessage, wishes: Wishes, moment: datetime) -> datetime | None:
    """Return until when the reader wants quiet; for text messages to recipients who have set nothing, the house's."""
    quiet = wishes.quiet
    if quiet is None and message.channel == Channel.SMS and message.audience != SENDER:
        config = current_app.config
        quiet = config["QUIET_HOURS"] and (*config["QUIET_HOURS"], config["TIME_ZONE"])
    return quiet_until(moment, *quiet) if quiet else None


def _letter(one: _Addressed, *, locale: str | None) -> Letter:
    message, row = one.message, one.row
    headers = {"X-Delivery-Event": message.event, "X-Delivery-Number": row.tracking_number}
    context = _context(message, row)
    if message.channel == Channel.MAIL:
        url = unsubscribing.link(one.hashed, message_id=message.id)
        headers |= unsubscribing.headers(url)
        context["unsubscribe_url"] = url
    return letter(
        message.template,
        locale=locale,
        time_zone=row.sender_time_zone if message.audience == SENDER else None,
        channel=message.channel,
        address=one.address,
        context=context,
        headers=headers,
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


# The same as a mail, or newer news that has been told or will be: an edit makes stale what was said of another.
_NEEDS_NO_MAIL = select(OutboxMessage.id).where(
    OutboxMessage.delivery_id == bindparam("delivery_id"),
    OutboxMessage.audience == bindparam("audience"),
    or_(
        (OutboxMessage.channel == Channel.MAIL) & (OutboxMessage.seq == bindparam("seq")),
        (OutboxMessage.channel != Channel.WEBHOOK)
        & (OutboxMessage.seq > bindparam("seq"))
        & ((OutboxMessage.event == UPDATED) == (bindparam("event") == UPDATED))
        & OutboxMessage.state.in_([*OPEN, MessageState.SENT, MessageState.DELIVERED, MessageState.UNCERTAIN]),
    ),
)


def instead(fact: MessageSettled) -> list[NewMessage]:
    """A mail for a text message that failed: once, where the same was not written as a mail anyway, and is still news.

    Whoever opted out, or prefers no text messages, gets none: their text message is suppressed, or refused for it.
    """
    if not (current_app.config["SMS_FALLBACK_TO_MAIL"] and _is_owed(fact)):
        return []
    same = {name: getattr(fact, name) for name in ("audience", "delivery_id", "seq", "event")}
    if db.session.execute(_NEEDS_NO_MAIL.limit(1), same).first():
        return []
    row = reader().execute(_FACTS, {"ids": [fact.id]}).one()
    if getattr(row, f"{fact.audience}_email") is None or row.deleted_at is not None:
        return []
    mail = NewMessage(
        channel=Channel.MAIL,
        audience=fact.audience,
        recipient_id=fact.recipient_id,
        owner_id=fact.owner_id,
        template=fact.template,
        event=fact.event,
        locale=None if fact.audience == SENDER else row.recipient_locale,
        delivery_id=fact.delivery_id,
        seq=fact.seq,
        data={"instead_of": str(fact.id)},
    )
    return [mail]


def _is_owed(fact: MessageSettled) -> bool:
    if fact.channel != Channel.SMS or fact.delivery_id is None or fact.error_class in _OPTED_OUT:
        return False
    return fact.state in {MessageState.FAILED, MessageState.DEAD} or fact.error_class in _WANTED


def note_opt_out(fact: MessageSettled) -> None:
    """Keep what the provider knows and we did not: that a number's owner told it STOP."""
    if fact.error_class not in _OPTED_OUT or fact.delivery_id is None:
        return
    row = reader().execute(_FACTS, {"ids": [fact.id]}).one()
    if number := getattr(row, f"{fact.audience}_phone"):
        opt_outs.opt_out(Channel.SMS, number, "provider")
