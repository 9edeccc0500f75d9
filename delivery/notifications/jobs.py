"""The drain: claims what is due, has it worded, hands it off, sends it, and writes down what came of it.

One thread talks to the database, others to the provider: while some letters are sent, the next are handed off.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TypeVar
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from delivery import logs, spans
from delivery.database import transaction
from delivery.jobs import job, pause, stopping
from delivery.notifications import alarm, attempts, breakers, claims, registry, wording
from delivery.notifications.channels import Failure, Letter, Transport, Unreachable, printable, without_address
from delivery.notifications.held import ClaimedMessage, Result
from delivery.notifications.states import BREAKER_SECONDS, LADDERS, LONGEST_ERROR, Channel, Outcome
from delivery.notifications.wording import DATABASE_DOWN

logger = logging.getLogger(__name__)

T = TypeVar("T")

DRAIN_SECONDS = 20
BATCH_SIZE = 100
# No send begins with less of the lease left: enough to connect and to send, each up to its time-out.
LEASE_MARGIN_SECONDS = 35
# How long to wait for enough of what is under way to end, before fewer are handed off at a time.
GATHER_SECONDS = 0.05
# When to look again for an endpoint that has enough in hand.
BUSY_SECONDS = 1.0
# How long, in steps, the outcome of what was sent is held for a database that does not answer.
PATIENCE_SECONDS = (0.5, 1, 2, 4, 8)


@job
def drain(channel: str) -> None:
    """Send what is due in a channel; when time is up before all is sent, another job goes on."""
    alarm.answer(channel)
    if deliver(channel, seconds=DRAIN_SECONDS):
        alarm.wake(channel)


def deliver(channel: str, *, seconds: float) -> bool:
    """Send what is due, for so long at most; return whether somebody should go on at once."""
    end = time.monotonic() + seconds
    transport = registry.transport(channel)
    try:
        with ThreadPoolExecutor(transport.concurrency, thread_name_prefix=f"send-{channel}") as pool:
            return _Drain(channel, transport, pool, end=end).run()
    finally:
        transport.close()


@dataclass
class _Drain:
    """Messages that this worker holds: waiting, in the provider's hands or about to be, and what came of the others."""

    channel: str
    transport: Transport
    pool: ThreadPoolExecutor
    end: float
    waiting: list[ClaimedMessage] = field(default_factory=list)
    under_way: dict[UUID, ClaimedMessage] = field(default_factory=dict)
    done: SimpleQueue[tuple[ClaimedMessage, Result | None]] = field(default_factory=SimpleQueue)
    # What came of messages that were sent, or tried; of those that there was nothing to send of; and those given up.
    results: list[Result] = field(default_factory=list)
    verdicts: list[Result] = field(default_factory=list)
    unsent: list[ClaimedMessage] = field(default_factory=list)
    words: wording.Ahead = field(default_factory=wording.Ahead)
    turns: int = 0
    more: bool = False
    probing: bool = False
    provider_down: bool = False
    wait_seconds: float = 0.0

    def run(self) -> bool:
        """Send until nothing is left, time is up or the provider is down; then give back what was not sent."""
        try:
            while self._going_on() and (self._something_to_send() or self.under_way):
                if not self.waiting or self.under_way or self._connect():
                    self._hand_off()
                    self.words.look(self.waiting[: 2 * self.transport.hand_off_size])
                    self._gather(self._left_at_the_next_turn)
        finally:
            self._put_back()
        return self._out_of_time() and not self.provider_down

    @property
    def _left_at_the_next_turn(self) -> int:
        """How many are under way when others are handed off: enough to keep the provider busy meanwhile."""
        part = 1 / 5 if self.transport.concurrency == 1 else 3 / 4
        return int(part * len(self.under_way)) if self.waiting or self.more else 0

    def _out_of_time(self) -> bool:
        return stopping() or time.monotonic() > self.end

    def _going_on(self) -> bool:
        return not self.provider_down and not self._out_of_time()

    def _something_to_send(self) -> bool:
        if not (self.waiting or (self.probing and self.under_way)):
            if self.probing:
                self._settling(lambda: None)
            limit = breakers.most_at_once(self._breaker, limit=BATCH_SIZE)
            self.probing = limit == 1
            if limit:
                self._claim(limit)
        return bool(self.waiting)

    @property
    def _breaker(self) -> str:
        return breakers.key_of_provider(self.channel, self.transport.name)

    def _claim(self, limit: int) -> None:
        """Claim the oldest and the newest in turn, so that news does not wait behind a long queue."""
        newest = self.turns % 2 == 1
        self.waiting = self._settling(lambda: claims.claim(self.channel, limit=limit, newest=newest)) or []
        self.turns, self.more = self.turns + 1, len(self.waiting) == limit
        if not self.probing and len(self.waiting) >= min(limit, self.transport.hand_off_size):
            alarm.wake(self.channel)  # enough for another worker

    def _connect(self) -> bool:
        """Connect; where that fails it counts as an attempt of one message, not of all."""
        try:
            self.transport.open()
        except Unreachable as failure:
            with transaction():
                tried = attempts.hand_off(self.waiting[:1], provider=self.transport.name)
            self.results += [self._failed(message, failure) for message in tried]
            self.waiting = self.waiting[1:]
            return False
        return True

    def _hand_off(self) -> None:
        """Word the next few and put on record, before the provider can have them, that it may have them."""
        few = self.waiting[: self.transport.hand_off_size - len(self.under_way)]
        if not (few or self.results or self.verdicts):
            return
        letters = self._word(few)
        lease_end = time.monotonic() + attempts.LEASE_SECONDS - LEASE_MARGIN_SECONDS
        given = self._settling(lambda: self._give([message for message in few if message.id in letters]))
        if given is None:
            return
        held, busy = given
        self.waiting = busy + self.waiting[len(few) :]
        for message in held:
            self.under_way[message.id] = message
            self.pool.submit(copy_context().run, self._send, message, letters[message.id], lease_end)
        if busy and not self.under_way:
            self._give_up(busy)

    def _give(self, worded: list[ClaimedMessage]) -> tuple[list[ClaimedMessage], list[ClaimedMessage]]:
        """Begin attempts; return those begun, and what waits for its endpoint to have a place free."""
        ready, busy = self._admit(worded)
        return attempts.hand_off(ready, provider=self.transport.name) if ready else [], busy

    def _admit(self, messages: list[ClaimedMessage]) -> tuple[list[ClaimedMessage], list[ClaimedMessage]]:
        """Return what may be sent now, and what waits for its endpoint to have a place free."""
        if self.channel != Channel.WEBHOOK or not messages:
            return messages, []
        ready, paused = breakers.admit(messages)
        for until in set(paused.values()):
            attempts.release([message for message in messages if paused.get(message.id) == until], until=until)
        others = paused.keys() | {message.id for message in ready}
        return ready, [message for message in messages if message.id not in others]

    def _give_up(self, messages: list[ClaimedMessage]) -> None:
        """Leave messages whose endpoints have enough in other workers' hands."""
        with transaction():
            attempts.release(messages, wait_seconds=BUSY_SECONDS)
        self.waiting = [message for message in self.waiting if message not in messages]

    def _word(self, messages: Sequence[ClaimedMessage]) -> dict[UUID, Letter]:
        letters = {}
        for message, made in self.words.worded(messages):
            if isinstance(made, Letter):
                letters[message.id] = made
            else:
                self.verdicts.append(made)
        return letters

    def _settling(self, then: Callable[[], T]) -> T | None:
        """Write down what came of messages and do the next thing, in one transaction.

        Where the database refuses an outcome, the others are written down and the next thing is not done: None.
        """
        try:
            with transaction():
                attempts.settle(self.results + self.verdicts)
                opened = breakers.count(self.results, provider=self.transport.name)
                done = then()
        except DATABASE_DOWN:
            raise
        except SQLAlchemyError:
            if not (self.results or self.verdicts):
                raise
            logger.exception("the database refuses an outcome", extra={"count": len(self.results)})
            self._settle_each()
            return None
        self.results, self.verdicts = [], []
        if self._breaker in opened:
            self.provider_down, self.wait_seconds = True, BREAKER_SECONDS
        return done

    def _settle_each(self) -> None:
        """Write one by one, so that what the database refuses of one message is not lost of the others."""
        for result in self.results + self.verdicts:
            try:
                with transaction():
                    attempts.settle([result])
            except DATABASE_DOWN:
                raise
            except SQLAlchemyError:
                logger.exception("an outcome is lost", extra={"message_id": result.message.id})
        self.results, self.verdicts = [], []

    def _gather(self, at_most: int) -> None:
        """Take what has been sent, until no more than so many are under way or others had better be handed off."""
        end = time.monotonic() + GATHER_SECONDS
        while len(self.under_way) > at_most and (left := end - time.monotonic()) > 0:
            self._take_one(left)

    def _take_one(self, seconds: float | None) -> None:
        try:
            message, result = self.done.get(timeout=seconds)
        except Empty:
            return
        del self.under_way[message.id]
        if result is None:
            self.unsent.append(message)
        else:
            self.results.append(result)

    def _send(self, message: ClaimedMessage, letter: Letter, lease_end: float) -> None:
        """Send one letter; the work of the other threads."""
        result = None
        try:
            if self._going_on() and time.monotonic() < lease_end:
                with logs.bound(request_id=message.request_id), spans.span(f"send {message.channel}"):
                    result = self._sent(message, letter)
        finally:
            self.done.put((message, result))

    def _sent(self, message: ClaimedMessage, letter: Letter) -> Result:
        try:
            reference = self.transport.send(message.id, letter)
        except Failure as failure:
            result = self._failed(message, failure)
            return replace(result, error=without_address(failure.message, letter.address)[:LONGEST_ERROR])
        except Exception as error:
            logger.exception("the channel broke", extra={"message_id": message.id, "channel": message.channel})
            return Result(message, Outcome.UNCERTAIN, error_class="channel_broke", error=type(error).__name__)
        return Result(message, Outcome.SENT, provider_ref=_reference(reference, letter))

    def _failed(self, message: ClaimedMessage, failure: Failure) -> Result:
        if isinstance(failure, Unreachable):
            self.provider_down = True
            # The others wait as long as one that failed once; no attempt of theirs is spent.
            self.wait_seconds = failure.retry_after_seconds or LADDERS[Channel(message.channel)][1]
        return Result(
            message,
            failure.outcome,
            error_class=failure.error_class,
            error=failure.message,
            retry_after_seconds=failure.retry_after_seconds,
            of_recipient=failure.of_recipient,
        )

    def _put_back(self) -> None:
        """Write down what was sent and release the rest; what was sent must not be forgotten lightly."""
        while self.under_way:
            self._take_one(None)
        for patience in PATIENCE_SECONDS:
            try:
                self._write()
            except DATABASE_DOWN:
                logger.warning("the database does not take outcomes", extra={"count": len(self.results)})
                pause(patience)
            else:
                return
        self._write()

    def _write(self) -> None:
        if self.results or self.verdicts:
            self._settling(lambda: None)
        if unsent := self.unsent + self.waiting:
            with transaction():
                attempts.release(unsent, wait_seconds=self.wait_seconds)


def _reference(given: str | None, letter: Letter) -> str | None:
    return given and without_address(printable(given), letter.address)[:100]
