"""What an API key can be given leave for, and what became of an invitation; plain Python."""

from enum import StrEnum


class Scope(StrEnum):
    """`resource:verb`; a key does nothing that its owner's role does not allow, whatever its scopes are."""

    DELIVERIES_READ = "deliveries:read"
    DELIVERIES_WRITE = "deliveries:write"
    DELIVERIES_MOVE = "deliveries:move"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    NOTIFICATIONS_READ = "notifications:read"
    NOTIFICATIONS_WRITE = "notifications:write"
    AUDIT_READ = "audit:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"


class InvitationState(StrEnum):
    OPEN = "open"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"
