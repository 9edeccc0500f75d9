"""Partitions by month of a delivery's creation, of whichever table is split by delivery_id: names, bounds, making."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from delivery import clock
from delivery.database import oldest_id

logger = logging.getLogger(__name__)

Month = tuple[int, int]
AHEAD_MONTHS = 3
MONTHS_PER_YEAR = 12
_IS_PARTITIONED = text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:name)")
_PARTITIONS = text("SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass(:name)")


def is_partitioned(session: Session, table: str) -> bool:
    return bool(session.execute(_IS_PARTITIONED, {"name": table}).scalar_one())


def partitions(session: Session, table: str) -> list[str]:
    return sorted(session.execute(_PARTITIONS, {"name": table}).scalars())


def name_of(table: str, month: Month) -> str:
    return f"{table}_{month[0]:04}_{month[1]:02}"


def default_of(table: str) -> str:
    return f"{table}_other"


def this_month() -> Month:
    now = clock.now()
    return now.year, now.month


def later(month: Month, months: int) -> Month:
    years, index = divmod(month[0] * MONTHS_PER_YEAR + month[1] - 1 + months, MONTHS_PER_YEAR)
    return years, index + 1


def first_id(month: Month) -> UUID:
    return oldest_id(datetime(*month, 1, tzinfo=UTC))


def make(session: Session, table: str, month: Month, *, since: UUID | None = None) -> None:
    """Make a month's partition, or that of what is left of the month."""
    bounds = f"FOR VALUES FROM ('{since or first_id(month)}') TO ('{first_id(later(month, 1))}')"
    session.execute(text(f"CREATE TABLE {name_of(table, month)} PARTITION OF {table} {bounds}"))


def make_ahead(session: Session, table: str, complete: Callable[[Session, str], None]) -> list[str]:
    """Make the partitions from this month on that are not there; returns their names.

    Months that the default partition has rows of stay in it.

    Args:
        complete: gives a new one what only partitions have.
    """
    there = partitions(session, table)
    wanted = [later(this_month(), months) for months in range(AHEAD_MONTHS + 1)]
    made = [month for month in wanted if name_of(table, month) not in there and not _is_begun(session, table, month)]
    for month in made:
        make(session, table, month)
        complete(session, name_of(table, month))
    return [name_of(table, month) for month in made]


def make_ahead_unless_busy(session: Session, table: str, complete: Callable[[Session, str], None]) -> None:
    """Make them unless somebody holds the table: whoever waits for it has all others wait behind."""
    try:
        with session.begin_nested():
            # Shorter than the time after which PostgreSQL looks for a deadlock, and ends somebody else for it.
            session.execute(text("SET LOCAL lock_timeout = '500ms'"))
            made = make_ahead(session, table, complete)
    except OperationalError as error:
        logger.warning("partitions are made later", extra={"code": table, "error_class": type(error.orig).__name__})
    else:
        if made:
            logger.info("made partitions", extra={"code": table, "count": len(made)})


def _is_begun(session: Session, table: str, month: Month) -> bool:
    bounds = {"begin": first_id(month), "end": first_id(later(month, 1))}
    rows = f"SELECT FROM {default_of(table)} WHERE delivery_id >= :begin AND delivery_id < :end"
    return bool(session.execute(text(f"SELECT EXISTS ({rows})"), bounds).scalar_one())
