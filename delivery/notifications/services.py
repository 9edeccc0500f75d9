"""Writing messages into the outbox, and sending them once more; all in the caller's transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Row, case, insert, select, update

from delivery import audit, logs
from delivery.database import after_commit, db, new_id, now
from delivery.errors import Conflict, NotFound
from delivery.notifications import alarm
from delivery.notifications.models import OutboxMessage
from delivery.notifications.states import (
    ACCOUNT_MAILS,
    REPEATED_AS_NEW,
    RESENDABLE,
    SMS_LIFE_SECONDS,
    Channel,
    MessageState,
    lifetime_seconds,
)
from delivery.rows import execute, insertion

_messages = OutboxMessage.__table__


def _expiry(lives: ColumnElement[Any]) -> ColumnElement[Any]:
    return case(*((lives == seconds, now(plus=seconds)) for seconds in {SMS_LIFE_SECONDS, *ACCOUNT_MAILS.values()}))


_ADD = insertion(
    _messages,
    lives=Integer(),
    computed=lambda given: {"next_at": now(), "created_at": now(), "expires_at": _expiry(given["lives"])},
)
# What a message that is sent again under a new id has in common with the first.
_COPIED = (
    "channel", "audience", "recipient_id", "owner_id", "delivery_id", "seq", "event", "template", "locale", "lane",
    "data", "body",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to be told to one recipient through one channel.

    `recipient_id` is a user's id, a delivery's for the person who receives it, or an endpoint's; never an address.
    `owner_id` is the account's whose delivery, endpoint or own affair it is. `data` is plain JSON without secrets or
    personal data, `body` what a webhook says.
    """

    channel: Channel
    audience: str
    recipient_id: UUID
    template: str
    event: str
    owner_id: UUID | None = None
    locale: str | None = None
    delivery_id: UUID | None = None
    seq: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    body: str | None = None
    # News of one topic makes none of another stale.
    topic: str = ""
    resend_of: UUID | None = None


def add(messages: Iterable[NewMessage]) -> list[UUID]:
    """Write messages in one statement, to be sent when the transaction has committed and never if it does not.

    Returns their ids, in the same order.
    """
    rows = [_row(message) for message in messages]
    if rows:
        execute(_ADD, rows)
    for channel in dict.fromkeys(row["channel"] for row in rows):
        after_commit(_wake, channel)
    return [row["id"] for row in rows]


def _row(message: NewMessage) -> dict[str, Any]:
    return {
        "lives": lifetime_seconds(message.channel, message.template),
        "id": new_id(),
        "channel": message.channel,
        "audience": message.audience,
        "recipient_id": message.recipient_id,
        "owner_id": message.owner_id,
        "delivery_id": message.delivery_id,
        "seq": message.seq,
        "event": message.event,
        "template": message.template,
        "locale": message.locale,
        "lane": f"{message.channel}:{message.recipient_id}:{message.delivery_id or ''}{message.topic}",
        "data": dict(message.data),
        "body": message.body,
        "resend_of": message.resend_of,
        "state": MessageState.PENDING,
        "attempts": 0,
        "request_id": logs.current_request_id(),
    }


def _wake(channel: str) -> None:
    alarm.wake(channel)


def resend(message_ids: Sequence[UUID], *, under_own_id: Collection[str] = RESENDABLE) -> dict[UUID, UUID | None]:
    """Send messages once more, as a person decided; return the id under which each will go out, None where it will not.

    One that failed gets another attempt under its own id. One that arrived gets a new id, since mailboxes discard an
    id that they have seen. One that is still on its way, or was never to be sent, is left alone.

    Args:
        under_own_id: the states of those that did not arrive.
    """
    chosen = select(_messages).where(_messages.c.id.in_(message_ids)).order_by(_messages.c.id).with_for_update()
    rows = db.session.execute(chosen).all()
    resent: dict[UUID, UUID | None] = dict.fromkeys(message_ids)
    resent.update({row.id: _retry(row) for row in rows if row.state in under_own_id})
    resent.update({row.id: _repeat(row) for row in rows if row.state in REPEATED_AS_NEW})
    for row in rows:
        if goes_out := resent[row.id]:
            audit.record("message.resent", object_type="message", object_id=row.id, sent_as=str(goes_out))
    for channel in dict.fromkeys(row.channel for row in rows if resent[row.id]):
        after_commit(_wake, channel)
    return resent


def resend_one(message_id: UUID) -> Row[Any]:
    """Send one message once more; return the row that goes out.

    Raises:
        NotFound: retention has thrown it away.
        Conflict: it waits already, or was never to be sent; `state` says which.
    """
    goes_out = resend([message_id])[message_id]
    found = db.session.execute(select(_messages).where(_messages.c.id == (goes_out or message_id))).one_or_none()
    if found is None:
        raise NotFound
    if goes_out is None:
        raise Conflict(
            f"A message that is {found.state} cannot be sent again.", code="not_resendable", state=found.state
        )
    return found


def withdraw(message_ids: Sequence[UUID]) -> set[UUID]:
    """Cancel messages that wait, as a person decided; return which those were.

    What is in a worker's hands or settled is left alone.
    """
    waiting = (_messages.c.id.in_(message_ids), _messages.c.state == MessageState.PENDING)
    values = {"state": MessageState.CANCELLED, "error_class": "withdrawn"}
    statement = update(_messages).where(*waiting).values(settled_at=now(), **values).returning(_messages.c.id)
    withdrawn = set(db.session.execute(statement).scalars())
    for message_id in sorted(withdrawn):
        audit.record("message.cancelled", object_type="message", object_id=message_id)
    return withdrawn


def cancel(recipient_ids: Sequence[UUID]) -> int:
    """Cancel what is queued for recipients who were erased; return how many messages that were.

    A message in a worker's hands is left to it: its composer finds no address any more.
    """
    queued = (_messages.c.recipient_id.in_(recipient_ids), _messages.c.state == MessageState.PENDING)
    values = {"state": MessageState.CANCELLED, "error_class": "erased"}
    statement = update(_messages).where(*queued).values(settled_at=now(), **values).returning(_messages.c.id)
    return len(db.session.execute(statement).all())


def suppress(recipient_id: UUID, *, reason: str, event: str | None = None) -> int:
    """Take back what is queued for a recipient, or only one kind of it; returns how many messages that were.

    A message in a worker's hands is left to it: its composer finds the same reason.
    """
    queued = [_messages.c.recipient_id == recipient_id, _messages.c.state == MessageState.PENDING]
    if event:
        queued.append(_messages.c.event == event)
    values = {"state": MessageState.SUPPRESSED, "error_class": reason}
    statement = update(_messages).where(*queued).values(settled_at=now(), **values).returning(_messages.c.id)
    return len(db.session.execute(statement).all())


def _retry(row: Row[Any]) -> UUID:
    values = {"state": MessageState.PENDING, "settled_at": None, "handoff_at": None, "expires_at": _new_expiry(row)}
    values |= {"segments": None}  # what it costs, it costs again
    db.session.execute(update(_messages).where(_messages.c.id == row.id).values(next_at=now(), **values))
    identity: UUID = row.id
    return identity


def _repeat(row: Row[Any]) -> UUID:
    identity = new_id()
    same = {name: getattr(row, name) for name in _COPIED}
    fresh = {
        "id": identity,
        "resend_of": row.id,
        "expires_at": _new_expiry(row),
        "request_id": logs.current_request_id(),
    }
    values = same | fresh | {"state": MessageState.PENDING, "attempts": 0, "next_at": now(), "created_at": now()}
    db.session.execute(insert(_messages).values(values))
    return identity


def _new_expiry(row: Row[Any]) -> now | None:
    """Give the message as long as it had at first."""
    life = lifetime_seconds(row.channel, row.template)
    return None if life is None else now(plus=life)
