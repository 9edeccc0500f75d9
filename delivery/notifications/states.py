"""Channels, states and retry ladders of a message; plain Python."""

from enum import StrEnum

# How much of what a provider said is kept, and how many attempts an answer shows: the newest.
LONGEST_ERROR, MOST_ATTEMPTS = 4000, 100


class Channel(StrEnum):
    MAIL = "mail"
    SMS = "sms"
    WEBHOOK = "webhook"


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
    SUPERSEDED = "superseded"
    DEFERRED = "deferred"
    RELEASED = "released"
    LEASE_LOST = "lease_lost"


OPEN = frozenset({MessageState.PENDING, MessageState.SENDING})
# What a person may send again under the same id; a message that arrived gets a new id instead.
RESENDABLE = frozenset({MessageState.FAILED, MessageState.DEAD, MessageState.UNCERTAIN})
REPEATED_AS_NEW = frozenset({MessageState.SENT, MessageState.DELIVERED})

MINUTE, HOUR = 60, 3600
# Seconds to wait before each attempt; the first entry is the first attempt.
LADDERS: dict[Channel, tuple[int, ...]] = {
    Channel.MAIL: (0, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR),
    Channel.SMS: (0, 30, 5 * MINUTE, 30 * MINUTE),
    # The example of the Standard Webhooks specification: 75.6 hours in all.
    Channel.WEBHOOK: (
        0, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR,
    ),
}  # fmt: skip
# Mails about an account, and for how long after its request each is of use.
ACCOUNT_MAILS: dict[str, int] = {
    "verify_email": 24 * HOUR,
    "already_registered": 24 * HOUR,
    "session_revoked": 24 * HOUR,
    "reset_password": 30 * MINUTE,
    "password_changed": 24 * HOUR,
    "api_key_created": 24 * HOUR,
    "webhook_disabled": 24 * HOUR,
    "change_email": 24 * HOUR,
    "email_changed": 24 * HOUR,
    "invitation": 7 * 24 * HOUR,
}
SMS_LIFE_SECONDS = 2 * HOUR


def lifetime_seconds(channel: str, template: str) -> int | None:
    """Return for how long after its request a message may still be sent; None: for ever."""
    if channel == Channel.SMS:
        return SMS_LIFE_SECONDS
    return ACCOUNT_MAILS.get(template)


# A message that waits holds back what comes after it in its lane. For a person it holds no longer once it has failed so
# often, is so old or was put off, and is then superseded: nobody wants `out for delivery` after `delivered`.
STALE_ATTEMPTS, STALE_SECONDS = 2, 15 * MINUTE
# A failing webhook holds its lane for so long, then lets others pass.
HOLD_SECONDS = 10 * MINUTE
# Why a message was put off, where it was not for a failure.
QUIET_HOURS = "quiet_hours"
# Why a message about a test delivery was not sent.
CAPTURED = "captured"

# So many failures in a row pause a provider or an endpoint for so long.
BREAKER_FAILURES, BREAKER_SECONDS = 10, 60
ENDPOINT_CONCURRENCY = 2

JITTER = 0.2
RETRY_AFTER_MAX_SECONDS = 24 * HOUR

# Templates that may reach a person twice: a second link is harmless, none is not. Of all others a worker that died
# while it sent leaves an uncertain row, which nobody sends again but a person.
REPEATABLE = frozenset(ACCOUNT_MAILS)

_SETTLED: dict[Outcome, MessageState] = {
    Outcome.SENT: MessageState.SENT,
    Outcome.PERMANENT: MessageState.FAILED,
    Outcome.UNCERTAIN: MessageState.UNCERTAIN,
    Outcome.SUPPRESSED: MessageState.SUPPRESSED,
    Outcome.EXPIRED: MessageState.DEAD,
    Outcome.SUPERSEDED: MessageState.SUPERSEDED,
}


def after(outcome: Outcome, *, channel: Channel, attempts: int, repeatable: bool) -> tuple[MessageState, float | None]:
    """Return the state that an attempt's outcome leads to and, when it is pending, the base seconds to wait.

    `attempts` counts this one. An uncertain message is tried again only where twice is harmless.
    """
    if outcome is Outcome.DEFERRED:
        return MessageState.PENDING, 0
    if outcome is Outcome.TEMPORARY or (outcome is Outcome.UNCERTAIN and repeatable):
        ladder = LADDERS[channel]
        if attempts < len(ladder):
            return MessageState.PENDING, ladder[attempts]
        return MessageState.DEAD, None
    return _SETTLED[outcome], None
