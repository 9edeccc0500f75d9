"""The drain: claims what is due, has it worded, hands it off, sends it, and writes down what came of it."""

import logging
import time
from collections import deque
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from delivery import limits, logs
from delivery.database import transaction
from delivery.errors import TooMany
from delivery.jobs import job, pause, stopping
from delivery.notifications import alarm, attempts, claims, registry
from delivery.notifications.channels import (
    Failure,
    Letter,
    Suppress,
    Transport,
    Unreachable,
    printable,
    without_address,
)
from delivery.notifications.held import ClaimedMessage, Result
from delivery.notifications.states import LADDERS, Channel, Outcome

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 20
BATCH_SIZE = 100
# No send begins with less of the lease left: enough to connect and to send, each up to its time-out.
LEASE_MARGIN_SECONDS = 35
# How long, in steps, the outcome of what was sent is held for a database that does not answer.
PATIENCE_SECONDS = (0.5, 1, 2, 4, 8)
_DATABASE_DOWN = (OperationalError, InterfaceError, PoolTimeoutError)


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
        while claimed := _claim(channel):
            if len(claimed) == BATCH_SIZE:
                alarm.wake(channel)  # enough for another worker
            batch = _Batch(transport, claimed, end=end)
            batch.run()
            if batch.provider_down:
                return False
            if batch.out_of_time():
                return True
        return False
    finally:
        transport.close()


def _claim(channel: str) -> list[ClaimedMessage]:
    with transaction():
        return claims.claim(channel, limit=BATCH_SIZE)


@dataclass
class _Batch:
    """Claimed messages: the waiting ones, those in the provider's hands or about to be, and what came of the others."""

    transport: Transport
    waiting: list[ClaimedMessage]
    end: float
    handed: deque[tuple[ClaimedMessage, Letter]] = field(default_factory=deque)
    results: list[Result] = field(default_factory=list)
    provider_down: bool = False
    wait_seconds: float = 0.0
    lease_end: float = 0.0

    def out_of_time(self) -> bool:
        return stopping() or time.monotonic() > self.end

    def run(self) -> None:
        """Send until nothing is left, time is up or the provider is down; then give back what was not sent."""
        try:
            # What a slow provider left over of the last few goes back first: its lease is the older one.
            while self.waiting and not self.handed and not self.provider_down and not self.out_of_time():
                if self._connect():
                    self._hand_off()
                    self._send_handed()
        finally:
            self._put_back()

    def _connect(self) -> bool:
        """Connect; where that fails it counts as an attempt of one message, not of all."""
        try:
            self.transport.open()
        except Unreachable as failure:
            with transaction():
                for message in attempts.hand_off(self.waiting[:1], provider=self.transport.name):
                    attempts.settle([self._failed(message, failure)])
            self.waiting = self.waiting[1:]
            return False
        return True

    def _hand_off(self) -> None:
        """Word the next few and put on record, before the provider can have them, that it may have them."""
        few = self.waiting[: self.transport.hand_off_size]
        letters = self._word(few)
        self.lease_end = time.monotonic() + attempts.LEASE_SECONDS - LEASE_MARGIN_SECONDS
        with transaction():
            attempts.settle(self.results)
            worded = [message for message in few if message.id in letters]
            held = attempts.hand_off(worded, provider=self.transport.name) if worded else []
        self.results = []
        self.waiting = self.waiting[len(few) :]
        self.handed.extend((message, letters[message.id]) for message in held)

    def _word(self, messages: list[ClaimedMessage]) -> dict[UUID, Letter]:
        letters = {}
        for message in messages:
            with logs.bound(request_id=message.request_id):
                made = _letter(message)
            if isinstance(made, Letter):
                letters[message.id] = made
            else:
                self.results.append(made)
        return letters

    def _send_handed(self) -> None:
        while self.handed and not self.provider_down and not self.out_of_time() and time.monotonic() < self.lease_end:
            message, letter = self.handed.popleft()
            with logs.bound(request_id=message.request_id):
                self.results.append(self._send(message, letter))

    def _send(self, message: ClaimedMessage, letter: Letter) -> Result:
        try:
            reference = self.transport.send(message.id, letter)
        except Failure as failure:
            result = self._failed(message, failure)
            return replace(result, error=without_address(failure.message, letter.address))
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
        )

    def _put_back(self) -> None:
        """Write down what was sent and release the rest; what was sent must not be forgotten lightly."""
        for patience in PATIENCE_SECONDS:
            try:
                self._write()
            except _DATABASE_DOWN:
                logger.warning("the database does not take outcomes", extra={"count": len(self.results)})
                pause(patience)
            else:
                return
        self._write()

    def _write(self) -> None:
        unsent = [message for message, _ in self.handed] + self.waiting
        try:
            with transaction():
                attempts.settle(self.results)
                attempts.release(unsent, wait_seconds=self.wait_seconds)
        except _DATABASE_DOWN:
            raise
        except SQLAlchemyError:
            logger.exception("the database refuses an outcome", extra={"count": len(self.results)})
            self._write_each(unsent)

    def _write_each(self, unsent: list[ClaimedMessage]) -> None:
        """Write one by one, so that what the database refuses of one message is not lost of the others."""
        with transaction():
            attempts.release(unsent, wait_seconds=self.wait_seconds)
        for result in self.results:
            try:
                with transaction():
                    attempts.settle([result])
            except _DATABASE_DOWN:
                raise
            except SQLAlchemyError:
                logger.exception("an outcome is lost", extra={"message_id": result.message.id})


def _reference(given: str | None, letter: Letter) -> str | None:
    return given and without_address(printable(given), letter.address)[:100]


def _letter(message: ClaimedMessage) -> Letter | Result:
    """Have a message worded; what cannot be worded fails for good, visibly, and stands in nobody's way."""
    try:
        made = registry.composer(message.template)(message)
    except _DATABASE_DOWN:
        raise
    except Exception as error:
        logger.exception("no words for a message", extra={"message_id": message.id, "channel": message.channel})
        return Result(message, Outcome.PERMANENT, error_class="composer_failed", error=type(error).__name__)
    if isinstance(made, Suppress):
        return Result(message, Outcome.SUPPRESSED, error_class=made.reason)
    return _within_limit(message, made)


def _within_limit(message: ClaimedMessage, letter: Letter) -> Letter | Result:
    """Count a text message for its number: once, however often it is tried and whoever tries it."""
    if message.channel != Channel.SMS:
        return letter
    try:
        limits.take(limits.TEXT_MESSAGE, letter.address, attempt_id=message.id)
    except TooMany:
        return Result(message, Outcome.SUPPRESSED, error_class="sms_limit")
    return letter
