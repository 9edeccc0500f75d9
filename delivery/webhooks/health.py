"""What an endpoint's answers say of it: it proved itself, it works, it fails, it has failed for too long."""

from uuid import UUID

from sqlalchemy import select, update

from delivery.database import before_commit, db, now
from delivery.notifications.events import AttemptFailed, MessageSettled
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
        disable(fact.recipient_id, reason=DisabledReason.GONE)
    elif fact.state in {MessageState.FAILED, MessageState.DEAD}:
        _failed(fact.recipient_id)


def attempt_failed(fact: AttemptFailed) -> None:
    """Note that an endpoint fails, and disable one that has done nothing else for FAILING_FOR."""
    if fact.channel == Channel.WEBHOOK:
        _failed(fact.recipient_id)


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
