"""What can be done to an endpoint, by its owner, an operator, or its own answers; in the caller's transaction."""

import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, insert, select, update

from delivery import audit, clock, events
from delivery.database import db, new_id, now
from delivery.errors import Conflict, Forbidden, lost_race
from delivery.notifications.services import NewMessage, add, suppress
from delivery.notifications.states import Channel
from delivery.users.models import User
from delivery.users.states import Role
from delivery.web import Caller, Expected
from delivery.webhooks import envelopes, signing
from delivery.webhooks.events import EndpointDisabled
from delivery.webhooks.models import EVERYBODY, WebhookEndpoint
from delivery.webhooks.states import (
    EVERYTHING,
    MOST_ENDPOINTS,
    OLD_SECRET_LIVES,
    TEST,
    VERIFY,
    DisabledReason,
    EndpointStatus,
)

TEMPLATE, AUDIENCE = "webhook", "endpoint"
_endpoints = WebhookEndpoint.__table__
_e = _endpoints.c


def create(
    by: Caller,
    *,
    url: str,
    owner_id: UUID | None = None,
    description: str | None = None,
    events: Sequence[str] = (EVERYTHING,),
    all_deliveries: bool = False,
) -> tuple[Row[Any], str]:
    """Make an endpoint and send it a challenge; returns it and its secret, which nobody can read again.

    Raises:
        Conflict: the owner has MOST_ENDPOINTS already.
        Forbidden: all deliveries, and the owner is no admin.
    """
    owner = _locked_owner(owner_id or by.id)
    secret = signing.new_secret()
    values = {
        "id": new_id(), "owner_id": owner.id, "watches": _watched(owner, all_deliveries=all_deliveries), "url": url,
        "description": description, "events": sorted(set(events)), "status": EndpointStatus.UNVERIFIED, "version": 1,
        "challenge": _new_challenge(), "secret": signing.sealed(secret), "test": by.test,
        "created_at": clock.now(), "updated_at": clock.now(),
    }  # fmt: skip
    count = select(func.count()).select_from(_endpoints).where(_e.owner_id == owner.id)
    if db.session.execute(count).scalar_one() >= MOST_ENDPOINTS:
        raise Conflict(f"There are {MOST_ENDPOINTS} endpoints already; delete one first.", code="too_many_endpoints")
    made = db.session.execute(insert(_endpoints).values(values).returning(*_e)).one()
    _record("created", made, events=made.events)
    _challenge(made)
    return made, secret


def change(seen: Any, *, expected: Expected, all_deliveries: bool | None = None, **fields: Any) -> Row[Any]:
    """Change what an endpoint is told, or where; a new URL has to prove itself by a challenge.

    Raises:
        Forbidden: all deliveries, and the owner is no admin.
        PreconditionFailed: it changed since the caller read it.
    """
    expected.check(seen.version)
    if all_deliveries is not None:
        fields["watches"] = _watched(_locked_owner(seen.owner_id), all_deliveries=all_deliveries)
    if "events" in fields:
        fields["events"] = sorted(set(fields["events"]))
    changes = {name: value for name, value in fields.items() if value != getattr(seen, name)}
    if not changes:
        return seen  # type: ignore[no-any-return]
    moves = "url" in changes and seen.status != EndpointStatus.DISABLED
    changed = _write(seen, **changes, **(_unproven() if moves else {}))
    _record("changed", changed, fields=sorted(changes))
    if moves:
        _challenge(changed)
    return changed


def remove(seen: Any, *, expected: Expected) -> None:
    """Delete an endpoint; what is queued for it is not sent. The log of what was stays.

    Raises:
        PreconditionFailed: it changed since the caller read it.
    """
    expected.check(seen.version)
    gone = delete(_endpoints).where(_e.id == seen.id, _e.version == seen.version).returning(_e.id)
    if db.session.execute(gone).one_or_none() is None:
        raise lost_race()
    suppress(seen.id, reason="endpoint_gone")
    _record("deleted", seen)


def rotate(seen: Any, *, expected: Expected) -> tuple[Row[Any], str]:
    """Give an endpoint a new secret; the old one signs beside it for OLD_SECRET_LIVES.

    Raises:
        PreconditionFailed: it changed since the caller read it.
    """
    expected.check(seen.version)
    secret = signing.new_secret()
    until = now(plus=OLD_SECRET_LIVES.total_seconds())
    changed = _write(seen, secret=signing.sealed(secret), old_secret=seen.secret, old_secret_until=until)
    _record("secret_rotated", changed)
    return changed, secret


def verify(seen: Any) -> Row[Any]:
    """Send an endpoint a challenge again.

    Raises:
        Conflict: it needs none: it is active, or disabled.
    """
    if seen.status != EndpointStatus.UNVERIFIED:
        raise Conflict(f"An endpoint that is {seen.status} is not asked to prove itself.", code="not_unverified")
    changed = _write(seen, **_unproven())
    _challenge(changed)
    return changed


def enable(seen: Any) -> Row[Any]:
    """Enable an endpoint that was disabled, once it has answered a challenge.

    Raises:
        Conflict: it is not disabled.
    """
    if seen.status != EndpointStatus.DISABLED:
        raise Conflict("The endpoint is not disabled.", code="not_disabled")
    changed = _write(seen, **_unproven())
    _record("enabled", changed)
    _challenge(changed)
    return changed


def disable(endpoint_id: UUID, *, reason: DisabledReason) -> Row[Any] | None:
    """Tell an endpoint nothing any more; what is queued for it is not sent. None: it was disabled, or is gone.

    Publishes EndpointDisabled, where its own answers were the reason.
    """
    statement = (
        update(_endpoints)
        .where(_e.id == endpoint_id, _e.status != EndpointStatus.DISABLED)
        .values(status=EndpointStatus.DISABLED, disabled_reason=reason, **_touched())
    )
    disabled = db.session.execute(statement.returning(*_e)).one_or_none()
    if disabled is None:
        return None
    suppress(endpoint_id, reason="endpoint_disabled")
    _record("disabled", disabled, reason=reason)
    if reason in {DisabledReason.GONE, DisabledReason.FAILING}:
        events.publish(EndpointDisabled(endpoint_id, disabled.owner_id, reason))
    return disabled


def send_test(seen: Any) -> None:
    """Send an endpoint an event that only says that it arrived.

    Raises:
        Conflict: it is not active.
    """
    check_active(seen)
    add([message(seen, TEST, body=envelopes.frozen(envelopes.test(seen.id)))])


def check_active(seen: Any) -> None:
    """Raise Conflict unless an endpoint is active."""
    if seen.status != EndpointStatus.ACTIVE:
        raise Conflict(f"The endpoint is {seen.status}; nothing but a challenge is sent to it.", code="not_active")


def message(endpoint: Any, event: str, *, body: str, **more: Any) -> NewMessage:
    """Return a message to an endpoint; `endpoint` has its id, owner_id and test."""
    whom = {"recipient_id": endpoint.id, "owner_id": endpoint.owner_id, "test": endpoint.test, "audience": AUDIENCE}
    return NewMessage(channel=Channel.WEBHOOK, template=TEMPLATE, event=event, body=body, **whom, **more)


def forget(user_id: UUID) -> None:
    """Delete somebody's endpoints: a URL may tell of a person. What is queued for them is not sent."""
    gone = delete(_endpoints).where(_e.owner_id == user_id).returning(_e.id)
    for endpoint_id in db.session.execute(gone).scalars().all():
        suppress(endpoint_id, reason="endpoint_gone")


def activate(endpoint_id: UUID, *, challenge: str) -> None:
    """Have an endpoint be told of events: it has answered the newest challenge; an older one proves nothing."""
    asked = (_e.id == endpoint_id, _e.challenge == challenge, _e.status == EndpointStatus.UNVERIFIED)
    active = update(_endpoints).where(*asked).values(status=EndpointStatus.ACTIVE, verified_at=now(), **_touched())
    if activated := db.session.execute(active.returning(*_e)).one_or_none():
        _record("verified", activated)


def _locked_owner(owner_id: UUID | None) -> Row[Any, Any]:
    """Return the owner, and let nobody else make an endpoint of theirs meanwhile."""
    query: Select[Any, Any] = select(User.id, User.role).where(User.id == owner_id).with_for_update(key_share=True)
    return db.session.execute(query).one()


def _watched(owner: Any, *, all_deliveries: bool) -> UUID:
    if all_deliveries and owner.role != Role.ADMIN:
        raise Forbidden("Only an admin's endpoint may be told of all deliveries.")
    return EVERYBODY if all_deliveries else owner.id


def _new_challenge() -> str:
    return secrets.token_urlsafe(32)


def _unproven() -> dict[str, Any]:
    status = {"status": EndpointStatus.UNVERIFIED, "disabled_reason": None, "failing_since": None}
    return {**status, "challenge": _new_challenge()}


def _touched() -> dict[str, Any]:
    return {"version": _e.version + 1, "updated_at": clock.now()}


def _write(seen: Any, **values: Any) -> Row[Any]:
    """Write the next version; the check is the write."""
    statement = update(_endpoints).where(_e.id == seen.id, _e.version == seen.version).values(**values, **_touched())
    changed = db.session.execute(statement.returning(*_e)).one_or_none()
    if changed is None:
        raise lost_race()
    return changed


def _challenge(endpoint: Row[Any]) -> None:
    """Ask an endpoint to prove that it is meant; an older question is not asked any more."""
    suppress(endpoint.id, reason="challenge_replaced", event=VERIFY)
    body = envelopes.frozen(envelopes.challenge(endpoint.challenge))
    add([message(endpoint, VERIFY, body=body, data={"challenge": endpoint.challenge})])


def _record(verb: str, endpoint: Any, **details: Any) -> None:
    audit.record(f"webhook_endpoint.{verb}", object_type="webhook_endpoint", object_id=endpoint.id, **details)
