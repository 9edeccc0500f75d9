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
MOST_AHEAD = 50
# No message is to blame for these.
DATABASE_DOWN = (OperationalError, InterfaceError, PoolTimeoutError)


class Ahead:
    """Words for the messages that are next, for more at a time as long as they are used while they are fresh.

    Looking things up for fifty costs hardly more than for five. Text messages are counted when they are worded: none
    ahead.
    """

    _made: dict[UUID, Letter | Result]

    def __init__(self) -> None:
        self._made, self._count, self._end = {}, 0, 0.0

    def worded(self, waiting: Sequence[ClaimedMessage], count: int) -> list[tuple[ClaimedMessage, Letter | Result]]:
        """Take the first `count` of those that wait, in words."""
        few = waiting[:count]
        fresh = time.monotonic() < self._end
        if few and (not fresh or any(message.id not in self._made for message in few)):
            self._find(waiting, few, quick=fresh and not self._made)
        return [(message, self._made.pop(message.id)) for message in few]

    def _find(self, waiting: Sequence[ClaimedMessage], few: Sequence[ClaimedMessage], *, quick: bool) -> None:
        at_most = len(few) if few[0].channel == Channel.SMS else MOST_AHEAD
        self._count = min(max(2 * self._count if quick else 0, len(few)), at_most)
        self._end = time.monotonic() + FRESH_SECONDS
        self._made = {message.id: made for message, made in worded(waiting[: self._count])}


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
