"""The table: which fact wakes which reaction, and which function words which message."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from delivery.auth import addresses, api_keys, invitations
from delivery.auth import messages as auth_messages
from delivery.auth.events import (
    ApiKeyCreated,
    ApiKeysRevoked,
    EmailChanged,
    EmailChangeRequested,
    InvitationSent,
    PasswordChanged,
    PasswordResetRequested,
    RefreshTokenReused,
    VerificationRequested,
)
from delivery.auth.sessions import end_all
from delivery.deliveries import messages as delivery_messages
from delivery.deliveries.events import DeliveryCreated, DeliveryDeleted, DeliveryEdited, DeliveryMoved
from delivery.deliveries.services import delete_drafts, hold_back
from delivery.events import Reaction, for_each
from delivery.idempotency import forget
from delivery.imports import services as imports
from delivery.notifications import receipts
from delivery.notifications.events import AttemptFailed, MessageSettled
from delivery.notifications.registry import Composer, each
from delivery.notifications.services import NewMessage, add
from delivery.privacy import services as privacy
from delivery.users.events import AccessRevoked, AddressTaken, UserErased, UserLeft, UserRegistered
from delivery.webhooks import health
from delivery.webhooks import messages as webhook_messages
from delivery.webhooks import services as endpoints
from delivery.webhooks.events import EndpointDisabled


def _tell(messages_about: Callable[[Any], Sequence[NewMessage]]) -> Reaction:
    """Turn a function from fact to messages into a reaction that adds them to the outbox."""
    return _tell_all(lambda facts: [message for fact in facts for message in messages_about(fact)])


def _tell_all(messages_about: Callable[[Sequence[Any]], Sequence[NewMessage]]) -> Reaction:
    """Do as _tell does with a function that takes many facts at once."""

    def tell(facts: Sequence[Any]) -> None:
        add(messages_about(facts))

    return tell


REACTIONS: Mapping[type, Sequence[Reaction]] = {
    UserRegistered: [_tell(auth_messages.registered)],
    VerificationRequested: [_tell(auth_messages.registered)],
    AddressTaken: [_tell(auth_messages.address_taken)],
    PasswordResetRequested: [_tell(auth_messages.reset_requested)],
    PasswordChanged: [_tell(auth_messages.password_changed)],
    EmailChangeRequested: [_tell(auth_messages.email_change_requested)],
    EmailChanged: [_tell(auth_messages.email_changed)],
    InvitationSent: [_tell(auth_messages.invited)],
    AccessRevoked: [for_each(end_all)],
    ApiKeyCreated: [_tell(auth_messages.api_key_created)],
    ApiKeysRevoked: [for_each(api_keys.end_all)],
    RefreshTokenReused: [_tell(auth_messages.session_revoked)],
    UserLeft: [for_each(hold_back)],
    UserErased: [
        for_each(delete_drafts),
        for_each(lambda fact: forget(fact.user_id)),
        for_each(lambda fact: api_keys.forget(fact.user_id)),
        for_each(lambda fact: endpoints.forget(fact.user_id)),
        for_each(lambda fact: imports.forget(fact.user_id)),
        for_each(invitations.forget),
        for_each(privacy.erase_traces),
    ],
    DeliveryCreated: [_tell(delivery_messages.created), _tell_all(webhook_messages.told)],
    DeliveryMoved: [_tell(delivery_messages.moved), _tell_all(webhook_messages.told)],
    DeliveryEdited: [_tell(delivery_messages.edited), _tell_all(webhook_messages.told)],
    DeliveryDeleted: [_tell_all(webhook_messages.told)],
    EndpointDisabled: [_tell(webhook_messages.disabled)],
    MessageSettled: [
        for_each(receipts.catch_up),
        for_each(delivery_messages.note_opt_out),
        _tell(delivery_messages.instead),
        for_each(health.settled),
    ],
    AttemptFailed: [for_each(health.attempt_failed)],
}
COMPOSERS: Mapping[str, Composer] = {
    addresses.VERIFY: each(auth_messages.compose_verification),
    auth_messages.TAKEN: each(auth_messages.compose_taken),
    auth_messages.REVOKED: each(auth_messages.compose_notice),
    auth_messages.RESET: each(auth_messages.compose_reset),
    auth_messages.PASSWORD_CHANGED: each(auth_messages.compose_password_changed),
    auth_messages.KEY_CREATED: each(auth_messages.compose_api_key_created),
    auth_messages.CHANGE_EMAIL: each(auth_messages.compose_change_email),
    auth_messages.EMAIL_CHANGED: each(auth_messages.compose_email_changed),
    auth_messages.INVITATION: each(auth_messages.compose_invitation),
    endpoints.TEMPLATE: webhook_messages.compose,
    webhook_messages.DISABLED: each(webhook_messages.compose_disabled),
    **dict.fromkeys(delivery_messages.TEMPLATES, delivery_messages.compose),
}
