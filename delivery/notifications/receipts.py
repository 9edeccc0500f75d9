"""Receipts: what a provider says, after it took a message, about how far that got; all in the caller's transaction.

They come in any order, twice, or before the worker has written down that it sent anything.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Row, String, case, exists, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, db, new_id, now, upsert
from delivery.errors import NotFound
from delivery.events import publish
from delivery.notifications.events import MessageSettled, fact
from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.states import Channel, MessageState

# Twilio's words (www.twilio.com/docs/messaging/api/message-resource#message-status-values).
TAKEN = frozenset({"accepted", "scheduled", "queued", "sending", "sent"})
ARRIVED = frozenset({"delivered", "read"})
LOST = frozenset({"undelivered", "failed", "canceled"})
# Sent or not, nobody could tell; or a person has had it sent again, and it has not gone out yet.
_OPEN_QUESTION = frozenset({MessageState.UNCERTAIN, MessageState.PENDING})
# All but what is in a worker's hands, what arrived, and what was never to be sent.
_CAN_ARRIVE = _OPEN_QUESTION | {MessageState.SENT, MessageState.FAILED, MessageState.DEAD}


class MessageReceipt(Base):
    """What a provider said about a message, each thing once; rows are only ever added.

    `source`: it called us (`callback`), or we asked (`list`).
    """

    __tablename__ = "message_receipts"
    __table_args__ = (Index("uq_message_receipts_said_once", "message_id", "provider_ref", "status", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("outbox_messages.id", ondelete="CASCADE"))
    provider_ref: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20))
    error_code: Mapped[int | None]
    source: Mapped[str] = mapped_column(String(10))
    at: Mapped[datetime] = mapped_column(UTC)


_messages, _attempts, _receipts = OutboxMessage.__table__, OutboxAttempt.__table__, MessageReceipt.__table__
_m, _r = _messages.c, _receipts.c
# What says most comes first.
_WEIGHT = case((_r.status.in_(ARRIVED), 0), (_r.status.in_(LOST), 1), else_=2)


def take(
    message_id: UUID, *, provider_ref: str, status: str, error_code: int | None = None, source: str = "callback"
) -> None:
    """Record a receipt and let it change its message, unless a worker holds that: then catch_up() does, later.

    The message is locked first, so that of this and the worker's settling one sees what the other wrote.

    Raises:
        NotFound: there is no such message, or no more.
    """
    row = _locked(message_id)
    if row is None or row.channel != Channel.SMS:
        raise NotFound
    said = {"message_id": message_id, "provider_ref": provider_ref, "status": status, "error_code": error_code}
    new = upsert(_receipts).values(id=new_id(), source=source, at=now(), **said).on_conflict_do_nothing()
    receipt = db.session.execute(new.returning(_receipts)).one_or_none()
    if receipt is not None:
        _apply(row, receipt)


def catch_up(settled: MessageSettled) -> None:
    """Let the receipts that came while a worker held the message change it, now that it is settled."""
    if settled.channel != Channel.SMS or settled.state not in {MessageState.SENT, MessageState.UNCERTAIN}:
        return
    began = select(func.max(_attempts.c.started_at)).where(_attempts.c.message_id == settled.id).scalar_subquery()
    # Those of an earlier attempt have had their say.
    early = select(_receipts).where(_r.message_id == settled.id, _r.at >= began).order_by(_WEIGHT, _r.id)
    for receipt in db.session.execute(early).all():
        row = _locked(settled.id)
        if row is not None:
            _apply(row, receipt)


def _locked(message_id: UUID) -> Row[Any] | None:
    return db.session.execute(select(_messages).where(_m.id == message_id).with_for_update()).one_or_none()


def _apply(row: Row[Any], receipt: Row[Any]) -> None:
    state = _state_after(row, receipt)
    if state is None:
        return
    lost = state is MessageState.FAILED
    error_class = f"twilio_{receipt.error_code or receipt.status}" if lost else None
    error = f"The provider took it, and says that it is {receipt.status}." if lost else None
    values = {"state": state, "provider_ref": receipt.provider_ref, "error_class": error_class, "error": error}
    db.session.execute(update(_messages).where(_m.id == row.id).values(settled_at=now(), **values))
    publish(fact(row, state, error_class=error_class))


def _state_after(row: Row[Any], receipt: Row[Any]) -> MessageState | None:
    """Return the state that a receipt leads to; None where it tells nothing new, or nothing that still counts."""
    if receipt.status in ARRIVED:
        return MessageState.DELIVERED if row.state in _CAN_ARRIVE else None
    if receipt.status in LOST:
        # What was sent again under another reference does not fail with the first.
        is_this = row.state == MessageState.SENT and row.provider_ref in {None, receipt.provider_ref}
        return MessageState.FAILED if is_this or row.state == MessageState.UNCERTAIN else None
    if receipt.status in TAKEN and row.state in _OPEN_QUESTION and not _is_lost(receipt):
        return MessageState.SENT
    return None


def _is_lost(receipt: Row[Any]) -> bool:
    """Has the provider said already that what it calls by this reference will not arrive?"""
    same = (_r.message_id == receipt.message_id, _r.provider_ref == receipt.provider_ref, _r.status.in_(LOST))
    return bool(db.session.execute(select(exists().where(*same))).scalar_one())
