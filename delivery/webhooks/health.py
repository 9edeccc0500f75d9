"""What an endpoint's answers say of it: it proved itself, it works, it fails, it has failed for too long."""

from uuid import UUID

from sqlalchemy import func, select, update

from delivery.database import before_commit, db, now
from delivery.notifications.events import AttemptFailed, MessageSettled
from delivery.notifications.models import OutboxAttempt
from delivery.notifications.states import Channel, MessageState
from delivery.webhooks.models import WebhookEndpoint
from delivery.webhooks.services import activate, disable
from delivery.webhooks.states import FAILING_FOR, VERIFY, DisabledReason, EndpointStatus

GONE = "http_410"
_endpoints = WebhookEndpoint.__table__
_e = _endpoints.c
_TOO_LONG = (_e.failing_since < now(plus=-FAILING_FOR.total_seconds())).label("too_long")


def settled(fact: MessageSettled) -> None:
    """Learn from what became of a webhook."""
    if fact.channel != Channel.WEBHOOK:
        return
    if fact.state == MessageState.SENT:
        if fact.event == VERIFY:
            activate(fact.recipient_id, challenge=fact.data["challenge"])
        before_commit(_clear, fact.recipient_id)
    elif fact.error_class == GONE:
        if _is_of_present_url(fact):
            disable(fact.recipient_id, reason=DisabledReason.GONE)
    elif fact.state in {MessageState.FAILED, MessageState.DEAD}:
        _failed(fact.recipient_id)


def attempt_failed(fact: AttemptFailed) -> None:
    """Note that an endpoint fails, and disable one that has done nothing else for FAILING_FOR."""
    if fact.channel == Channel.WEBHOOK:
        _failed(fact.recipient_id)


def _is_of_present_url(fact: MessageSettled) -> bool:
    """Whether it was the URL of today that answered: each new one has to prove itself, and the old may go then."""
    row = db.session.execute(select(_e.challenge, _e.verified_at, _e.status).where(_e.id == fact.recipient_id)).first()
    if row is None:
        return False
    if fact.event == VERIFY:
        return bool(fact.data["challenge"] == row.challenge)
    asked = select(func.max(OutboxAttempt.handoff_at)).where(OutboxAttempt.message_id == fact.id)
    asked_at = db.session.execute(asked).scalar_one()
    return bool(row.status == EndpointStatus.ACTIVE and row.verified_at and asked_at and asked_at >= row.verified_at)


def _failed(endpoint_id: UUID) -> None:
    active = (_e.id == endpoint_id, _e.status == EndpointStatus.ACTIVE)
    row = db.session.execute(select(_e.failing_since, _TOO_LONG).where(*active)).one_or_none()
    if row is None:
        return
    if row.failing_since is None:
        before_commit(_mark, endpoint_id)
    elif row.too_long:
        disable(endpoint_id, reason=DisabledReason.FAILING)


# Last in the transaction and once for all, so that two workers do not wait for each other's endpoints.
def _mark(ids: list[UUID]) -> None:
    fine = (_e.id.in_(set(ids)), _e.failing_since.is_(None))
    db.session.execute(update(_endpoints).where(*fine).values(failing_since=now()))


def _clear(ids: list[UUID]) -> None:
    failing = (_e.id.in_(set(ids)), _e.failing_since.is_not(None))
    db.session.execute(update(_endpoints).where(*failing).values(failing_since=None))
