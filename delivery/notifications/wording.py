"""Wording: what each message says, at the moment it is sent, or why there is nothing to send."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from delivery import logs
from delivery.notifications import registry
from delivery.notifications.allowances import within_allowances
from delivery.notifications.channels import Defer, Letter, Suppress
from delivery.notifications.held import ClaimedMessage, Result
from delivery.notifications.states import Outcome

logger = logging.getLogger(__name__)

# No message is to blame for these.
DATABASE_DOWN = (OperationalError, InterfaceError, PoolTimeoutError)


def worded(messages: Sequence[ClaimedMessage]) -> Iterator[tuple[ClaimedMessage, Letter | Result]]:
    """Have messages worded, those of one composer together."""
    groups = defaultdict(list)
    for message in messages:
        groups[registry.composer(message.template)].append(message)
    for compose, group in groups.items():
        yield from _composed(compose, group)


def _composed(
    compose: registry.Composer, messages: Sequence[ClaimedMessage]
) -> Iterator[tuple[ClaimedMessage, Letter | Result]]:
    """Word messages; what cannot be worded fails for good, visibly, and stands in nobody's way."""
    try:
        verdicts = compose(messages)
        made = [(message, _verdict(message, verdicts[message.id])) for message in messages]
    except DATABASE_DOWN:
        raise
    except Exception as error:
        if len(messages) > 1:
            for message in messages:
                yield from _composed(compose, [message])
            return
        [message] = messages
        with logs.bound(request_id=message.request_id):
            logger.exception("no words for a message", extra={"message_id": message.id, "channel": message.channel})
        made = [
            (message, Result(message, Outcome.PERMANENT, error_class="composer_failed", error=type(error).__name__))
        ]
    yield from made


def _verdict(message: ClaimedMessage, made: registry.Verdict) -> Letter | Result:
    if isinstance(made, Suppress):
        return Result(message, Outcome.SUPPRESSED, error_class=made.reason)
    if isinstance(made, Defer):
        return Result(message, Outcome.DEFERRED, error_class=made.reason, until=made.until)
    return within_allowances(message, made)
