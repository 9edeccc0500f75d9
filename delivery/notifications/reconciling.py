"""Reconciling: asking the provider about text messages of which nobody could tell whether they were sent.

Nothing is sent here. What the provider does not know, or knows twice, stays uncertain and is a person's to decide.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from jinja2 import TemplateError
from sqlalchemy import Row, exists, literal_column, select
from sqlalchemy.exc import NoResultFound

from delivery.database import new_id, now, reader, transaction
from delivery.notifications import receipts, registry
from delivery.notifications.channels import Found, Letter, Searchable, Unreachable
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.receipts import MessageReceipt
from delivery.notifications.states import Channel

logger = logging.getLogger(__name__)

# By then the provider lists what it took, and a receipt has mostly come by itself.
SETTLES_SECONDS = 60
# Around the hand-off: clocks differ, and a request takes as long as its time-out at the most.
BEFORE, AFTER = timedelta(minutes=2), timedelta(minutes=5)
# What was asked, where the provider's reference would stand; another attempt is another question.
_NOWHERE, _UNKNOWN, _AMBIGUOUS = "attempt-{}", "not_found", "ambiguous"

_messages, _attempts, _receipts = OutboxMessage.__table__, OutboxAttempt.__table__, MessageReceipt.__table__
_m, _a, _r = _messages.c, _attempts.c, _receipts.c


def reconcile(limit: int) -> dict[UUID, str]:
    """Ask about messages that have been uncertain for a minute and were never asked about; the oldest first.

    Returns:
        What came of each: the state that it is in now.

    Raises:
        Unreachable: the provider cannot be asked now; what was learnt before stands.
    """
    asked = exists().where(_r.message_id == _m.id, _r.source == "list", _r.at >= _m.settled_at)
    return _reconcile(select(_m.id).where(_m.settled_at <= now(plus=-SETTLES_SECONDS), ~asked), limit=limit)


def reconcile_again(limit: int) -> dict[UUID, str]:
    """Ask about every uncertain message, asked about before or not; the newest first.

    Raises:
        Unreachable: the provider cannot be asked now; what was learnt before stands.
    """
    return _reconcile(select(_m.id), limit=limit, newest_first=True)


def _reconcile(chosen: Any, *, limit: int, newest_first: bool = False) -> dict[UUID, str]:
    transport = provider = registry.transport(Channel.SMS)
    if not isinstance(provider, Searchable):
        return {}
    mine = (_m.channel == Channel.SMS, _m.provider == transport.name)
    uncertain = chosen.where(_m.state == literal_column("'uncertain'"), *mine)
    ids = reader().execute(uncertain.order_by(_m.id.desc() if newest_first else _m.id).limit(limit)).scalars().all()
    try:
        return {message_id: _ask(provider, message_id) for message_id in ids}
    finally:
        transport.close()


def _ask(provider: Searchable, message_id: UUID) -> str:
    row = reader().execute(select(_messages).where(_m.id == message_id)).one()
    attempt = reader().execute(_last_attempt(message_id)).one()
    found = _search(provider, row, attempt)
    with transaction():
        receipts.take(message_id, source="list", **_said(found, attempt=attempt.n))
    state: str = reader().execute(select(_m.state).where(_m.id == message_id)).scalar_one()
    logger.info("asked the provider", extra={"message_id": message_id, "count": len(found), "code": state})
    return state


def _last_attempt(message_id: UUID) -> Any:
    return select(_attempts).where(_a.message_id == message_id).order_by(_a.n.desc()).limit(1)


def _search(provider: Searchable, row: Row[Any], attempt: Row[Any]) -> Sequence[Found]:
    """Return what may be this message: the same words, to the same number, at that time, and no other message of ours.

    The words are made anew. Should they or the number have changed since, nothing is found.
    """
    letter = _worded(row)
    if letter is None:
        return []
    found = provider.find(letter, since=attempt.handoff_at - BEFORE, until=attempt.handoff_at + AFTER)
    others = select(_m.provider_ref).where(_m.provider_ref.in_([one.reference for one in found]), _m.id != row.id)
    taken = set(reader().execute(others).scalars())
    return [one for one in found if one.reference not in taken]


def _worded(row: Row[Any]) -> Letter | None:
    # Nobody holds it; the lease is one that nothing is ever written by.
    given = {name: getattr(row, name) for name in ClaimedMessage.__slots__} | {"lease_token": new_id()}
    try:
        made = registry.composer(row.template)([ClaimedMessage(**given)])[row.id]
    except (LookupError, NoResultFound, TemplateError) as error:
        logger.warning("no words for a message", extra={"message_id": row.id, "error_class": type(error).__name__})
        return None
    return made if isinstance(made, Letter) else None


def _said(found: Sequence[Found], *, attempt: int) -> dict[str, Any]:
    if len(found) != 1:
        return {
            "provider_ref": _NOWHERE.format(attempt),
            "status": _AMBIGUOUS if found else _UNKNOWN,
        }
    [one] = found
    return {"provider_ref": one.reference, "status": one.status[:20], "error_code": one.error_code}


def reconcile_some(limit: int) -> int:
    """Do what `flask cron` does each minute; a provider that cannot be asked is asked again a minute later."""
    try:
        return len(reconcile(limit))
    except Unreachable as error:
        logger.warning("the provider cannot be asked", extra={"error_class": error.error_class})
        return 0
