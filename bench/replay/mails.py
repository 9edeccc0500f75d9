"""Works out, by a table of its own, which mails are due and compares them with what the sink received."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.play import Played

# Who is told of what by default, mail only; written down a second time on purpose, as an independent check.
TOLD_BY_MAIL = {
    "created": ("sender", "recipient"),
    "out_for_delivery": ("recipient",),
    "delivered": ("sender", "recipient"),
    "attempt_failed": ("sender", "recipient"),
    "on_hold": ("sender", "recipient"),
    "returned": ("sender", "recipient"),
    "lost": ("sender", "recipient"),
    "cancelled": ("sender", "recipient"),
}
POLL_SECONDS = 0.5
QUIET_SECONDS = 45.0  # longer than the first pause of the mail ladder (30 s and a fifth)

Mail = tuple[str, str, str]  # address, event, tracking number


def due(played: Iterable[Played], *, sender: str) -> Counter[Mail]:
    """Count the mails that the moves which were made must have caused; an order that was given up is left out."""
    mails: Counter[Mail] = Counter()
    for one in played:
        if one.error is None:
            for event in ("created", *(move.to for move in one.order.moves)):
                for audience in TOLD_BY_MAIL.get(event, ()):
                    mails[sender if audience == "sender" else one.order.recipient, event, one.number] += 1
    return mails


@dataclass
class Inbox:
    """What the sink's log tells about the mails of these deliveries; reads on where it stopped."""

    path: Path
    numbers: frozenset[str]
    mails: Counter[Mail] = field(default_factory=Counter)
    message_ids: Counter[str] = field(default_factory=Counter)
    other: int = 0
    first: float | None = None
    last: float | None = None
    _offset: int = 0

    def read_on(self) -> int:
        """Take in the whole lines written since; a line that is still being written waits. Returns their count."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            written = file.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = whole.splitlines()
        for line in lines:
            self._take(json.loads(line))
        return len(lines)

    def _take(self, mail: dict[str, Any]) -> None:
        self.message_ids[str(mail["message_id"])] += 1
        if mail["number"] not in self.numbers:
            self.other += 1
            return
        self.first = self.first or mail["time"]
        self.last = mail["time"]
        for address in mail["rcpts"]:
            self.mails[address, str(mail["event"]), mail["number"]] += 1


def wait(inbox: Inbox, *, count: int, limit_seconds: float) -> None:
    """Return when as many mails came as are due, when none came for a while, or when the time is up."""
    ends = time.monotonic() + limit_seconds
    quiet_until = time.monotonic() + QUIET_SECONDS
    while inbox.mails.total() < count and time.monotonic() < min(ends, quiet_until):
        if inbox.read_on():
            quiet_until = time.monotonic() + QUIET_SECONDS
        time.sleep(POLL_SECONDS)
    time.sleep(2 * POLL_SECONDS)  # one that is too many comes right behind the last
    inbox.read_on()


def compare(inbox: Inbox, wanted: Counter[Mail]) -> tuple[dict[str, Any], list[str]]:
    """Say in figures and in lines which mails are missing, which nobody asked for, and which came twice."""
    twice = [message_id for message_id, times in inbox.message_ids.items() if times > 1]
    missing, extra = wanted - inbox.mails, inbox.mails - wanted
    seconds = (inbox.last or 0.0) - (inbox.first or 0.0)
    figures = {
        "due": wanted.total(),
        "received": inbox.mails.total(),
        "missing": missing.total(),
        "not due": extra.total(),
        "message ids twice": len(twice),
        "other mail": inbox.other,
        "seconds first to last": round(seconds, 1),
        "mails per second": round(inbox.mails.total() / seconds, 1) if seconds else None,
        "due by event": _by_event(wanted),
        "received by event": _by_event(inbox.mails),
    }
    return figures, [*_named("missing", missing), *_named("not due", extra), *(f"twice: {one}" for one in twice)]


def _by_event(mails: Counter[Mail]) -> dict[str, int]:
    events: Counter[str] = Counter()
    for (_address, event, _number), times in mails.items():
        events[event] += times
    return dict(sorted(events.items()))


def _named(what: str, mails: Counter[Mail]) -> list[str]:
    return [f"{what}: {event} of {number} to {address}" for address, event, number in mails.elements()]
