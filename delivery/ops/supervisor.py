"""The supervisor: keeps the processes of the system alive, and stops them in the right order when asked to."""

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType

import click

from delivery.ops.child import Child
from delivery.ops.refusals import CannotRun, StopAsked

TICK_SECONDS = 0.1
FINISH_SECONDS = 20.0  # for requests and sends under way: longer than the workers give theirs
STORE_FINISH_SECONDS = 1.5


class Supervisor:
    """Watches two groups: the store, on which the others lean, and the others, which stop first."""

    TRIES = 8

    def __init__(self, *, pause: float = 0.5, tries: float = TRIES) -> None:
        self.pause, self.tries = pause, tries
        self.stores: list[Child] = []
        self.others: list[Child] = []
        # Plain flags: an Event that is set in a signal handler may deadlock with the wait which the signal interrupted.
        self._asked = self._hurried = False

    def heed_signals(self) -> None:
        """Let SIGINT, SIGTERM and a closed terminal stop us; the second one hurries."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup's wish
            signal.signal(signal.SIGHUP, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked, self._hurried = True, self._asked

    def wait_for(self, ready: Callable[[], bool], *, what: str, seconds: float) -> None:
        """Wait until `ready()`; a death before that is final."""
        end = time.monotonic() + seconds
        while not ready():
            for child in self._all():
                if child.ended() is not None:
                    raise CannotRun(f"{_obituary(child)} before {what} was ready; its output stands above.")
            if time.monotonic() > end:
                raise CannotRun(f"{what} was not ready within {seconds:.0f} s.")
            if self._asked:
                raise StopAsked
            time.sleep(TICK_SECONDS / 2)

    def start(self, children: list[Child], *new: Child) -> None:
        """Start new members of a group."""
        for child in new:
            children.append(child)
            child.start()

    def watch(self, tick: Callable[[], None]) -> None:
        """Keep everything alive until we are asked to stop; `tick()` is called ten times a second."""
        while not self._asked:
            time.sleep(TICK_SECONDS)
            tick()
            for child in self._all():
                self._keep_alive(child)

    def _keep_alive(self, child: Child) -> None:
        if child.process is None:
            if time.monotonic() >= child.due:
                child.start()
        elif child.ended() is not None:
            obituary = _obituary(child)
            child.plan_restart(pause=self.pause)
            if child.failures >= self.tries:
                raise CannotRun(f"{obituary}, {child.failures} times in a row; its output stands above.")
            click.echo(f"{obituary}; it is started again.", err=True)

    def restart_others(self) -> None:
        """Let everything but the store finish and start again with the code as it is now."""
        _finish(self.others, seconds=FINISH_SECONDS, hurried=lambda: self._asked)
        for child in self.others:
            child.failures = 0
            child.start()

    def stop(self) -> None:
        """Stop the others, then the store; whoever takes too long is killed."""
        _finish(self.others, seconds=FINISH_SECONDS, hurried=lambda: self._hurried)
        _finish(self.stores, seconds=STORE_FINISH_SECONDS, hurried=lambda: self._hurried)

    def _all(self) -> Iterable[Child]:
        return (*self.stores, *self.others)


def _finish(children: Sequence[Child], *, seconds: float, hurried: Callable[[], bool]) -> None:
    for child in children:
        child.terminate()
    end = time.monotonic() + seconds
    while any(child.process and child.ended() is None for child in children):
        if hurried() or time.monotonic() > end:
            break
        time.sleep(TICK_SECONDS / 4)
    for child in children:
        child.kill_group()


def _obituary(child: Child) -> str:
    code = child.ended() or 0
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return f"{child.name} ended {how}{child.last_words()}"
