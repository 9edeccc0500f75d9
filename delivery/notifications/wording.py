"""Wording: what each message says, at the moment it is sent, or why there is nothing to send."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from delivery import logs
from delivery.notifications import registry
from delivery.notifications.allowances import within_allowances
from delivery.notifications.channels import Defer, Letter, Suppress
from delivery.notifications.held import ClaimedMessage, Result
from delivery.notifications.states import Channel, Outcome

logger = logging.getLogger(__name__)

# Words that are older are found anew: who has just opted out must not be written to.
FRESH_SECONDS = 0.5
# No message is to blame for these.
DATABASE_DOWN = (OperationalError, InterfaceError, PoolTimeoutError)


class Ahead:
    """Words for the messages that are next, found while the provider has others in hand, and kept while fresh.

    Looking things up for twenty costs hardly more than for five. Text messages are counted when they are worded, so
    for none of them is this done ahead.
    """

    _made: dict[UUID, tuple[float, Letter | Result]]

    def __init__(self) -> None:
        self._made = {}

    def look(self, messages: Sequence[ClaimedMessage]) -> None:
        """Find words for messages that will be next, unless half of them have some."""
        if messages and messages[0].channel != Channel.SMS:
            self._forget_old()
            if sum(message.id in self._made for message in messages) < len(messages) / 2:
                self._find(messages)

    def worded(self, messages: Sequence[ClaimedMessage]) -> list[tuple[ClaimedMessage, Letter | Result]]:
        """Return messages in words that are fresh."""
        self._forget_old()
        self._find(messages)
        return [(message, self._made.pop(message.id)[1]) for message in messages]

    def _forget_old(self) -> None:
        moment = time.monotonic()
        self._made = {identity: kept for identity, kept in self._made.items() if kept[0] > moment}

    def _find(self, messages: Sequence[ClaimedMessage]) -> None:
        end = time.monotonic() + FRESH_SECONDS
        for message, made in worded([message for message in messages if message.id not in self._made]):
            self._made[message.id] = end, made


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
