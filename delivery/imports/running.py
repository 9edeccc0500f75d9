"""Working on imports: a batch of rows, and how far the import has come with it, in one transaction.

Whoever works on an import holds a lease on it. If they die the lease ends, and somebody else goes on behind the last
row that was committed: no row is made twice, and none is passed over.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row as ImportRow
from sqlalchemy import func, insert, select, update

from delivery import logs
from delivery.database import db, new_id, now, transaction
from delivery.imports import looking, services
from delivery.imports.files import Unreadable
from delivery.imports.making import LostRace, Made, make
from delivery.imports.mapping import Plan, Row
from delivery.imports.models import Import, ImportBadRow
from delivery.imports.queries import OPEN, is_due
from delivery.imports.states import ImportState
from delivery.imports.tables import Record
from delivery.jobs import stopping
from delivery.users.models import User
from delivery.web import Caller

LEASE_SECONDS = 30
BATCH_ROWS = 500
# With one alone the thread that checks has nothing to do just when the database has.
BATCHES_AHEAD = 3
# How often an import is begun with, without a row that is done, before it is given up.
MOST_ATTEMPTS = 5
_imports, _bad_rows, _users = Import.__table__, ImportBadRow.__table__, User.__table__
_i = _imports.c


class LeaseLost(Exception):
    """Somebody cancelled the import, or works on it in our place."""


def claim(import_id: UUID | None = None) -> ImportRow[Any] | None:
    """Take the import that has waited the longest, or this one; None: there is nothing to do."""
    waiting = select(_i.id).where(OPEN, _i.next_at <= now()).order_by(_i.next_at).limit(1)
    if import_id:
        waiting = waiting.where(_i.id == import_id)
    values = {
        "state": ImportState.RUNNING, "lease_token": new_id(), "next_at": now(plus=LEASE_SECONDS),
        "attempts": _i.attempts + 1, "started_at": func.coalesce(_i.started_at, now()),
    }  # fmt: skip
    first = waiting.with_for_update(skip_locked=True).scalar_subquery()
    with transaction() as session:
        return session.execute(update(_imports).where(_i.id == first).values(values).returning(*_i)).one_or_none()


def work_on(
    claimed: ImportRow[Any], *, until: float, turn: float | None = None, told: Callable[[int], None] | None = None
) -> None:
    """Work on an import to its end, or for as long as there is time.

    Args:
        until: when to stop, by the monotonic clock.
        turn: when to stop if other imports wait then.
        told: is given the number of rows of each batch that was committed.
    """
    with logs.bound(request_id=claimed.request_id):
        if claimed.attempts > MOST_ATTEMPTS:
            give_up(claimed, "gave_up")
            return
        by = _caller_of(claimed)
        if by is None:
            give_up(claimed, "account_inactive")
            return
        try:
            _Run(claimed, by, until=until, turn=until if turn is None else turn, told=told or _nobody).go()
        except LeaseLost:
            pass
        except Unreadable as error:
            give_up(claimed, error.code)


def give_up(claimed: ImportRow[Any], code: str) -> None:
    """End an import that cannot go on; what was done stays."""
    with transaction():
        services.end(claimed.id, ImportState.FAILED, error_code=code)


def release(claimed: ImportRow[Any], *, wait_seconds: float = 0) -> None:
    """Let others work on an import, after those that wait."""
    mine = (_i.id == claimed.id, _i.lease_token == claimed.lease_token, OPEN)
    with transaction() as session:
        session.execute(update(_imports).where(*mine).values(lease_token=None, next_at=now(plus=wait_seconds)))


def _caller_of(claimed: ImportRow[Any]) -> Caller | None:
    """Return whoever asked for the import, as they are now; None: they may nothing any more."""
    if claimed.created_by is None:
        return Caller(id=None, role="admin", kind=claimed.actor_type)
    with transaction() as session:
        query = select(_users.c.role).where(_users.c.id == claimed.created_by, _users.c.active)
        role = session.execute(query).scalar_one_or_none()
    return role and Caller(id=claimed.created_by, role=role, kind=claimed.actor_type)


@dataclass
class _Run:
    claimed: ImportRow[Any]
    by: Caller
    until: float
    turn: float
    told: Callable[[int], None]
    last_row: int = 1
    # Of a dry run: the references that the file has had so far, since nothing is written that could be found.
    seen: set[int] = field(default_factory=set)

    def go(self) -> None:
        self.last_row = self.claimed.last_row
        plan = Plan(self.claimed.header, self.claimed.settings)
        beside = ThreadPoolExecutor(1, "import")
        try:
            for rows in _read_ahead(beside, plan, _batches(plan, self._records(plan))):
                self._write(rows)
                if self._is_over():
                    release(self.claimed)
                    return
        finally:
            beside.shutdown(cancel_futures=True)
        self._finish()

    def _is_over(self) -> bool:
        now_is = time.monotonic()
        return stopping() or now_is > self.until or (now_is > self.turn and is_due())

    def _records(self, plan: Plan) -> Iterator[Record]:
        """Yield the rows behind the last one that is done; what comes before is only read."""
        records = looking.records(self.claimed.id, self.claimed.settings)
        if next(records, None) is None:
            raise LeaseLost  # the file goes with the end of its import
        for number, cells in records:
            if number > self.last_row:
                yield number, cells
            elif self.claimed.dry_run and (reference := plan.reference_of(cells)):
                self.seen.add(hash(reference))

    def _write(self, rows: Sequence[Row]) -> None:
        try:
            self._write_once(rows)
        except LostRace:
            self._write_once(rows)
        self.last_row = rows[-1].number
        self.told(len(rows))

    def _write_once(self, rows: Sequence[Row]) -> None:
        with transaction():
            self._hold()
            made = make(self.by, rows, self.claimed, seen=self.seen)
            self._write_down(rows[-1].number, made)

    def _hold(self) -> None:
        """Lock the import until the commit, if it is ours still and nobody has gone on with it."""
        mine = select(_i.last_row).where(
            _i.id == self.claimed.id, _i.lease_token == self.claimed.lease_token, _i.state == ImportState.RUNNING
        )
        if db.session.execute(mine.with_for_update()).scalar_one_or_none() != self.last_row:
            raise LeaseLost

    def _write_down(self, last_row: int, made: Made) -> None:
        counts = {name: _i[name] + getattr(made, name) for name in ("created", "updated", "skipped")}
        done = made.created + made.updated + made.skipped + len(made.bad)
        values = {
            **counts, "failed": _i.failed + len(made.bad), "rows_done": _i.rows_done + done, "last_row": last_row,
            "next_at": now(plus=LEASE_SECONDS), "attempts": 0,
        }  # fmt: skip
        db.session.execute(update(_imports).where(_i.id == self.claimed.id).values(values))
        if made.bad:
            db.session.execute(insert(_bad_rows), [self._bad(row) for row in made.bad])

    def _bad(self, row: Row) -> dict[str, Any]:
        return {"import_id": self.claimed.id, "row": row.number, "cells": row.cells, "errors": row.errors}

    def _finish(self) -> None:
        with transaction() as session:
            self._hold()
            failed = session.execute(select(_i.failed).where(_i.id == self.claimed.id)).scalar_one()
            state = ImportState.COMPLETED_WITH_ERRORS if failed else ImportState.COMPLETED
            services.end(self.claimed.id, state)


def _nobody(_count: int) -> None:
    """Is told how far it has come."""


def _read_ahead(beside: Executor, plan: Plan, batches: Iterable[Sequence[Record]]) -> Iterator[list[Row]]:
    """Yield what each batch makes; the next ones are checked by a thread while the database works on this one."""
    ahead: deque[Future[list[Row]]] = deque()
    for records in batches:
        ahead.append(beside.submit(plan.read_all, records))
        if len(ahead) > BATCHES_AHEAD:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _batches(plan: Plan, records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield rows by the hundred; a reference that comes again begins a new batch, so that it finds the first."""
    batch: list[Record] = []
    references: set[str] = set()
    for number, cells in records:
        reference = plan.reference_of(cells)
        if len(batch) == BATCH_ROWS or reference in references:
            yield batch
            batch, references = [], set()
        batch.append((number, cells))
        if reference:
            references.add(reference)
    if batch:
        yield batch
