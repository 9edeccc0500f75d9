"""Tallies: how many requests were answered, how long each took, and who holds connections of the pools.

They lie in memory that a forking server's processes share. Each process counts in a slot of its own, and whichever is
asked reads all slots. So there are no files to clean up or to fill a disk, the counts of a process that died stay, and
the one after it counts on in its slot. Whoever loads the app after the fork, as gunicorn does without `preload_app`,
counts alone.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import accumulate
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

from flask import Flask, Request, Response, request
from sqlalchemy import Engine, event

from delivery.database import engines
from delivery.web.requests import UNMATCHED, route_of

# Seconds. Most answers take a few milliseconds; DB_STATEMENT_TIMEOUT_SECONDS ends what takes long.
BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# A method that nobody knows has one label, as what leads to no route has: who asks must not make series.
OTHER = "other"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", OTHER)
STATUSES = {status.value: place for place, status in enumerate(HTTPStatus)}
POOLS = ("write", "read")

_KEY, _BEGAN, _OUT = "delivery.tallies", "delivery.began", "delivery.out"
_FLYING, _TOTAL, _GAUGES = 0, len(STATUSES) + 1 + len(BOUNDS) + 1, 1 + len(POOLS)
_BUCKETS = len(STATUSES) + 1  # after the statuses and the one for all that HTTP does not list
_WIDTH = _TOTAL + 1
# Beside the workers: those that take over while they still finish, at a reload.
_SPARE_SLOTS = 8
_CELL_BYTES = 8


class Answered(NamedTuple):
    """What one route has answered by one method: how often with each status, within each bound, and the seconds."""

    route: str
    method: str
    statuses: dict[str, float]
    buckets: list[tuple[str, float]]
    seconds: float


class Tallies:
    """The memory: a slot for each process, in it a few gauges, and a row for each route and method."""

    def __init__(self, kinds: Iterable[tuple[str, str]], *, slots: int) -> None:
        self._kinds = list(kinds)
        self._rows = {kind: _GAUGES + place * _WIDTH for place, kind in enumerate(self._kinds)}
        self._slot_width, self._slots = _GAUGES + len(self._kinds) * _WIDTH, slots
        # The last cell says how many slots have ever been taken; the parent of the processes alone writes it.
        size = self._slot_width * slots + 1
        self._memory = memoryview(mmap.mmap(-1, size * _CELL_BYTES)).cast("d")
        self._memory[-1] = 1
        self._lock = Lock()
        self._start = 0

    def reserve(self, held: Iterable[int]) -> int:
        """Choose a slot that no process holds, for one that is about to be forked."""
        taken = set(held)
        slot = next((one for one in range(self._slots) if one not in taken), self._slots - 1)
        self._memory[-1] = max(self._memory[-1], slot + 1)
        self.clear(slot)
        return slot

    def take(self, slot: int) -> None:
        """Count in this slot from now on."""
        self._start = slot * self._slot_width

    def clear(self, slot: int) -> None:
        """Forget what the slot's process had in its hands when it ended."""
        start = slot * self._slot_width
        for place in range(_GAUGES):
            self._memory[start + place] = 0

    def begin(self) -> None:
        self._add(_FLYING, 1)

    def end(self) -> None:
        self._add(_FLYING, -1)

    def hold(self, pool: int, change: int) -> None:
        """Note that a connection of a pool was lent or came back."""
        self._add(_FLYING + 1 + pool, change)

    def _add(self, place: int, change: float) -> None:
        with self._lock:
            self._memory[self._start + place] += change

    def count(self, route: str, method: str, *, status: int, seconds: float) -> None:
        """Count an answer."""
        row = self._rows.get((route, method)) or self._unmatched(method)
        at, cells = self._start + row, self._memory
        with self._lock:
            cells[at + STATUSES.get(status, _BUCKETS - 1)] += 1
            cells[at + _BUCKETS + bisect_left(BOUNDS, seconds)] += 1
            cells[at + _TOTAL] += seconds

    def _unmatched(self, method: str) -> int:
        return self._rows[UNMATCHED, known_method(method)]

    def in_flight(self) -> float:
        return sum(slot[_FLYING] for slot in self._used())

    def held(self) -> Iterator[tuple[int, str, float]]:
        """Yield process, pool and how many of its connections are lent."""
        for number, slot in enumerate(self._used()):
            for place, pool in enumerate(POOLS):
                yield number, pool, slot[_FLYING + 1 + place]

    def answered(self) -> Iterator[Answered]:
        """Yield what all processes together have answered; what was never asked is left out."""
        slots = self._used()
        for kind in self._kinds:
            start = self._rows[kind]
            cells = [sum(column) for column in zip(*(slot[start : start + _WIDTH] for slot in slots), strict=True)]
            if any(cells[:_BUCKETS]):
                yield _answered(kind, cells)

    def _used(self) -> list[Sequence[float]]:
        width = self._slot_width
        return [self._memory[slot * width : (slot + 1) * width] for slot in range(int(self._memory[-1]))]


def _answered(kind: tuple[str, str], cells: Sequence[float]) -> Answered:
    names = [*map(str, STATUSES), OTHER]
    statuses = {name: count for name, count in zip(names, cells, strict=False) if count}
    bounds = [*map(str, BOUNDS), "+Inf"]
    buckets = list(zip(bounds, accumulate(cells[_BUCKETS:_TOTAL]), strict=True))
    return Answered(*kind, statuses, buckets, cells[_TOTAL])


def known_method(method: str) -> str:
    """Return a method, or one word for all that HTTP does not know: clients choose the text."""
    return method if method in METHODS else OTHER


def of(app: Flask) -> Tallies:
    """Return the app's tallies."""
    tallies: Tallies = app.extensions[_KEY]
    return tallies


def init_app(app: Flask) -> None:
    """Count what the app answers and lends, once all its routes are there and before anybody is forked."""
    kinds = [(UNMATCHED, method) for method in METHODS]
    rules: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        rules.setdefault(rule.rule, set()).update(rule.methods or ())
    kinds += [(rule, method) for rule, methods in sorted(rules.items()) for method in sorted(methods)]
    tallies = app.extensions[_KEY] = Tallies(kinds, slots=2 * app.config["WEB_WORKERS"] + _SPARE_SLOTS)
    _listen(app, tallies)
    for place, engine in enumerate(engines(app)):
        _watch(engine, tallies, place)


def _listen(app: Flask, tallies: Tallies) -> None:
    """Count around every request; a proxy of Flask costs as much as counting does."""

    def begin() -> None:
        request.environ[_BEGAN] = perf_counter()
        tallies.begin()

    def count(response: Response) -> Response:
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's documented way
        now = perf_counter()
        spent = now - asked.environ.get(_BEGAN, now)
        tallies.count(route_of(asked), asked.method, status=response.status_code, seconds=spent)
        return response

    def end(_error: BaseException | None) -> None:
        if request.environ.pop(_BEGAN, None) is not None:
            tallies.end()

    app.before_request(begin)
    app.after_request(count)
    app.teardown_request(end)


def _watch(engine: Engine, tallies: Tallies, pool: int) -> None:
    """Count connections out and in; one that could not be lent comes back without having been counted."""

    def lent(_connection: Any, record: Any, _proxy: object) -> None:
        record.record_info[_OUT] = True
        tallies.hold(pool, 1)

    def back(_connection: Any, record: Any) -> None:
        if record.record_info.pop(_OUT, False):
            tallies.hold(pool, -1)

    event.listen(engine, "checkout", lent)
    event.listen(engine, "checkin", back)
