"""Channels, states and retry ladders of a message; plain Python."""

from enum import StrEnum


class Channel(StrEnum):
    MAIL = "mail"
    SMS = "sms"


class MessageState(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    DEAD = "dead"
    UNCERTAIN = "uncertain"
    SUPPRESSED = "suppressed"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What came of one attempt."""

    SENT = "sent"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNCERTAIN = "uncertain"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    RELEASED = "released"
    LEASE_LOST = "lease_lost"


OPEN = frozenset({MessageState.PENDING, MessageState.SENDING})
# What a person may send again under the same id; a message that arrived gets a new id instead.
RESENDABLE = frozenset({MessageState.FAILED, MessageState.DEAD, MessageState.UNCERTAIN})

MINUTE, HOUR = 60, 3600
# Seconds to wait before each attempt; the first entry is the first attempt.
LADDERS: dict[Channel, tuple[int, ...]] = {
    Channel.MAIL: (0, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR),
    Channel.SMS: (0, 30, 5 * MINUTE, 30 * MINUTE),
}
SMS_EXPIRES_SECONDS = 2 * HOUR
