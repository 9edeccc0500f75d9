"""Which endpoints are told of an event, and what goes over the wire when it is sent."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from cryptography.fernet import InvalidToken
from flask import current_app
from sqlalchemy import select
from sqlalchemy.sql.expression import bindparam

from delivery import clock
from delivery.database import db, reader
from delivery.deliveries.events import DeliveryCreated, DeliveryDeleted, DeliveryEdited, DeliveryMoved
from delivery.notifications.channels import Letter, Suppress
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.rendering import letter
from delivery.notifications.services import NewMessage
from delivery.notifications.states import Channel
from delivery.users.models import User
from delivery.users.states import Role
from delivery.webhooks import envelopes, signing
from delivery.webhooks.events import EndpointDisabled
from delivery.webhooks.models import EVERYBODY, WebhookEndpoint
from delivery.webhooks.queries import ADDRESSES, ANYBODY_LISTENS, LISTENING
from delivery.webhooks.services import message
from delivery.webhooks.states import VERIFY, EndpointStatus, is_wanted

DISABLED = "webhook_disabled"
Change = DeliveryCreated | DeliveryMoved | DeliveryEdited | DeliveryDeleted
_DISABLED = (
    select(User.name, User.email, User.locale, WebhookEndpoint.url, WebhookEndpoint.status)
    .join(User, User.id == WebhookEndpoint.owner_id)
    .where(WebhookEndpoint.id == bindparam("endpoint_id"))
)


def told(facts: Sequence[Change]) -> list[NewMessage]:
    """Tell each endpoint that watches a delivery and wants this type of event; the bytes are frozen here.

    One that has not proved itself yet gets a row, too: it says why nothing was sent, and can be sent again.
    """
    events = [(fact.delivery_id, fact.seq) for fact in facts]
    watches = [*{fact.owner_id for fact in facts}, EVERYBODY]
    connection = db.session.connection()
    if len(facts) > 1 and not connection.execute(ANYBODY_LISTENS, {"watches": watches}).first():
        return []
    listening = connection.execute(LISTENING, {"events": events, "watches": watches})
    messages = []
    for event, rows in groupby(listening, key=attrgetter("delivery_id", "seq")):
        [first, *_] = endpoints = list(rows)
        name, body = envelopes.event_type(first), envelopes.frozen(envelopes.envelope(first))
        about = dict(zip(("delivery_id", "seq"), event, strict=True))
        messages += [message(one, name, body=body, **about) for one in endpoints if is_wanted(name, one.events)]
    return messages


def compose(messages: Sequence[ClaimedMessage]) -> Mapping[UUID, Letter | Suppress]:
    """Look up where messages go, and sign them: now, since receivers refuse what was signed long ago."""
    ids = {message.recipient_id for message in messages}
    endpoints = {row.id: row for row in reader().execute(ADDRESSES, {"ids": ids})}
    keys = {identity: _keys(row) for identity, row in endpoints.items()}
    return {one.id: _verdict(one, endpoints.get(one.recipient_id), keys.get(one.recipient_id)) for one in messages}


def _verdict(message: ClaimedMessage, endpoint: Any, keys: Sequence[str] | None) -> Letter | Suppress:
    reason = _why_not(message, endpoint)
    if reason:
        return Suppress(reason)
    if not keys:
        return Suppress("secret_unreadable")
    body, at = message.body or "", int(clock.now().timestamp())
    signed = signing.headers(message.id, body, at=at, keys=keys)
    return Letter(endpoint.url, body, headers=signed, expects=message.data.get("challenge", ""))


def _why_not(message: ClaimedMessage, endpoint: Any) -> str | None:
    if endpoint is None:
        return "endpoint_gone"
    if not endpoint.owner_active:
        return "owner_inactive"
    if endpoint.watches == EVERYBODY and endpoint.owner_role != Role.ADMIN:
        return "owner_no_admin"
    if endpoint.status == EndpointStatus.DISABLED:
        return "endpoint_disabled"
    if message.event == VERIFY:
        return None if message.data["challenge"] == endpoint.challenge else "challenge_replaced"
    return "unverified" if endpoint.status == EndpointStatus.UNVERIFIED else None


def _keys(endpoint: Any) -> list[str]:
    """Return the secrets that are valid now, the newest first; none where one cannot be read."""
    sealed = [endpoint.secret]
    if endpoint.old_secret and endpoint.old_secret_until > clock.now():
        sealed.append(endpoint.old_secret)
    try:
        return [signing.opened(secret) for secret in sealed]
    except InvalidToken:
        return []


def disabled(fact: EndpointDisabled) -> list[NewMessage]:
    return [
        NewMessage(
            channel=Channel.MAIL,
            audience="account",
            recipient_id=fact.owner_id,
            owner_id=fact.owner_id,
            template=DISABLED,
            event=DISABLED,
            data={"endpoint_id": str(fact.endpoint_id), "reason": fact.reason},
        )
    ]


def compose_disabled(message: ClaimedMessage) -> Letter | Suppress:
    """Tell an owner that an endpoint is told nothing any more; one that works again meanwhile is no news."""
    row = reader().execute(_DISABLED, {"endpoint_id": UUID(message.data["endpoint_id"])}).one_or_none()
    if row is None or row.email is None:
        return Suppress("no_address")
    if row.status != EndpointStatus.DISABLED:
        return Suppress("enabled_again")
    context = {"name": row.name, "company": current_app.config["COMPANY_NAME"]}
    return letter(
        message.template,
        locale=row.locale,
        channel=message.channel,
        address=row.email,
        context={**context, "url": row.url, "reason": message.data["reason"]},
    )
