"""The table: which fact wakes which reaction, and which function words which message."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from delivery.auth import api_keys, invitations
from delivery.auth import messages as auth_messages
from delivery.auth.events import ApiKeysRevoked, InvitationSent, RefreshTokenReused, VerificationRequested
from delivery.auth.sessions import end_all
from delivery.deliveries import messages as delivery_messages
from delivery.deliveries.events import DeliveryCreated, DeliveryEdited, DeliveryMoved
from delivery.deliveries.services import release_user
from delivery.events import Reaction
from delivery.idempotency import forget
from delivery.notifications.registry import Composer
from delivery.notifications.services import NewMessage, add
from delivery.users.events import AccessRevoked, AddressTaken, UserLeft, UserRegistered


def _tell(messages_about: Callable[[Any], Sequence[NewMessage]]) -> Reaction:
    """Turn a function from fact to messages into a reaction that adds them to the outbox."""
    return lambda fact: add(messages_about(fact))


REACTIONS: Mapping[type, Sequence[Reaction]] = {
    UserRegistered: [_tell(auth_messages.registered)],
    VerificationRequested: [_tell(auth_messages.registered)],
    AddressTaken: [_tell(auth_messages.address_taken)],
    InvitationSent: [_tell(auth_messages.invited)],
    AccessRevoked: [end_all],
    ApiKeysRevoked: [api_keys.end_all],
    RefreshTokenReused: [_tell(auth_messages.session_revoked)],
    UserLeft: [
        release_user,
        lambda fact: forget(fact.user_id),
        lambda fact: api_keys.forget(fact.user_id),
        invitations.forget,
    ],
    DeliveryCreated: [_tell(delivery_messages.created)],
    DeliveryMoved: [_tell(delivery_messages.moved)],
    DeliveryEdited: [],  # nobody is told by default
}
COMPOSERS: Mapping[str, Composer] = {
    auth_messages.VERIFY: auth_messages.compose_verification,
    auth_messages.TAKEN: auth_messages.compose_notice,
    auth_messages.REVOKED: auth_messages.compose_notice,
    auth_messages.INVITATION: auth_messages.compose_invitation,
    **dict.fromkeys(delivery_messages.TEMPLATES, delivery_messages.compose),
}
