"""Why a message was not sent, in words: one table from what machines call it to what people read."""

from delivery.notifications.states import MessageState

_S = MessageState
_STATES: dict[str, str] = {
    _S.PENDING: "Not sent yet",
    _S.SENDING: "Being sent once more",
    _S.FAILED: "Refused for good",
    _S.DEAD: "Given up",
    _S.UNCERTAIN: "Perhaps sent, and perhaps not",
    _S.SUPPRESSED: "Not sent on purpose",
    _S.SUPERSEDED: "Not sent: a newer message took its place",
    _S.CANCELLED: "Cancelled",
}
WORDS: dict[str, str] = {
    "address_refused": "its address leads where webhooks must not go",
    "address_taken": "the new address belongs to another account by now",
    "bad_address": "this is not an address that mail can be sent to",
    "bad_answer": "what the endpoint answered is no HTTP",
    "captured": "it is about a test delivery, and GET /api/sandbox/messages shows it",
    "challenge_unanswered": "the endpoint did not answer the challenge",
    "channel_broke": "our own code failed while it was handed over; the log has the rest",
    "composer_failed": "it could not be put into words; the log has the rest",
    "connect_failed": "no connection could be made",
    "connect_timeout": "no connection was made in time",
    "daily_cap": "the day's text messages have cost what they may",
    "delivery_deleted": "its delivery was deleted",
    "delivery_switch": "whoever made the delivery switched it off",
    "dns": "the name in its address leads nowhere",
    "dns_timeout": "the name in its address was not found in time",
    "enabled_again": "the endpoint works again by now",
    "endpoint_disabled": "the endpoint is disabled",
    "endpoint_gone": "the endpoint was deleted",
    "erased": "its recipient was erased",
    "expired": "it was too late to be of use",
    "no_address": "its recipient has no address for this channel",
    "no_answer": "the connection broke before the answer",
    "no_open_invitation": "its invitation was accepted, revoked or has run out",
    "nothing_to_change": "the change of address was made or called off",
    "nothing_to_reset": "the reset was made, or asked for anew",
    "nothing_to_verify": "the address is confirmed already",
    "opted_out": "its recipient wants no such messages",
    "owner_inactive": "the endpoint's owner is not active",
    "owner_no_admin": "the endpoint's owner is no admin any more",
    "paused": "the other side failed ten times in a row, and is tried again within the minute",
    "preference": "its recipient has switched it off",
    "quiet_hours": "its recipient wants no messages at this hour",
    "restored": "it waited in the backup that was restored, and may have been sent since",
    "secret_unreadable": "the endpoint's secret cannot be read with the keys in the settings",
    "sms_limit": "this number has had its text messages of the day",
    "timeout": "there was no whole answer in time",
    "tls": "no encrypted connection could be made, or nobody vouches for the certificate",
    "too_long": "it takes more segments than a text message may",
    "too_many_mails": "this account has had its mails of the last six hours",
    "unverified": "the endpoint has not answered its challenge yet",
    "withdrawn": "somebody cancelled it by command",
    "worker_lost": "the process that sent it died before it knew",
}
# What providers call it begins with their name; the longest beginning that fits counts.
FAMILIES: dict[str, str] = {
    "smtp_no_answer": "the mail server had all of it and did not answer",
    "twilio_no_answer": "Twilio had all of it and did not answer",
    "sns_no_answer": "AWS SNS had all of it and did not answer",
    "smtp_": "the mail server cannot be reached or did not go on",
    "smtp_4": "the mail server did not take it for now",
    "smtp_5": "the mail server does not take it",
    "sns_": "AWS SNS did not take it",
    "twilio_": "Twilio's answer",
    "http_": "the endpoint did not take it",
}


def cause(error_class: str) -> str:
    """Return what an error's class means; the class itself stands with what has no words of its own."""
    if error_class in WORDS:
        return WORDS[error_class]
    fitting = [beginning for beginning in FAMILIES if error_class.startswith(beginning)]
    words = FAMILIES[max(fitting, key=len)] if fitting else "the reason is"
    return f"{words} ({error_class})" if fitting else f"{words} {error_class}"


def reason(state: str, error_class: str | None) -> str | None:
    """Return in a sentence why a message was not sent, or not yet; None where there is nothing to explain."""
    if state in {_S.SENT, _S.DELIVERED} or (state in {_S.PENDING, _S.SENDING} and error_class is None):
        return None
    said = _STATES[state]
    return f"{said}: {cause(error_class)}." if error_class not in {None, state} else f"{said}."
