"""The history in partitions, a month of deliveries each: PostgreSQL's own, made from the table as it stands.

`delivery_events` is split by range of delivery_id. Ids are UUIDv7, so a range is a month of creation, every event of a
delivery is in one partition, and the keys that hold the chain contain what it is split by. One constraint does not:
that no two events have one place in the feed holds within each partition; across them it is numbering.py's lock.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from delivery import clock
from delivery.cli import Group, dry_run_option, examples, rehearsable
from delivery.database import backend, db, oldest_id

logger = logging.getLogger(__name__)

TABLE, OLD, DEFAULT = "delivery_events", "delivery_events_whole", "delivery_events_other"
AHEAD_MONTHS = 3
_MONTHS_PER_YEAR = 12
_IS_PARTITIONED = text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:name)")
_PARTITIONS = text("SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass(:name)")
_DEFINED = {
    # The others' references come last: what they refer to has to be there.
    "constraints": text(
        "SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
        " WHERE conrelid = to_regclass(:name) AND contype IN ('p', 'u', 'c', 'f')"
        " ORDER BY array_position(ARRAY['p', 'u', 'c', 'f']::\"char\"[], contype), conname"
    ),
    "references": text(
        "SELECT conrelid::regclass::text AS owner, conname AS name, pg_get_constraintdef(oid) AS definition"
        " FROM pg_constraint WHERE confrelid = to_regclass(:name) AND conrelid <> confrelid ORDER BY conname"
    ),
    "indexes": text(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition, indisunique AS is_unique"
        " FROM pg_index WHERE indrelid = to_regclass(:name)"
        " AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))"
    ),
    "triggers": text(
        "SELECT pg_get_triggerdef(oid) AS definition, tgtype & 1 = 1 AS each_row FROM pg_trigger"
        " WHERE tgrelid = to_regclass(:name) AND NOT tgisinternal"
    ),
    "columns": text(
        "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = to_regclass(:name)"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
    ),
}
Month = tuple[int, int]
group = Group("partitions", help="Keep the history in partitions, a month each (PostgreSQL).")


@group.command("create", epilog=examples("flask partitions create --dry-run", "flask partitions create"))
@dry_run_option
def create(*, dry_run: bool) -> None:
    """Split the history by month, or make the months to come; flask cron does the latter by itself.

    The first time it copies every event and holds the tables meanwhile: stop the API and the workers, or let them wait.
    """
    _require_postgresql()
    with rehearsable(dry_run=dry_run) as session:
        count = None if is_partitioned(session) else split(session)
        made = keep_ahead_in(session)
    if count is not None:
        click.echo(f"{count} events {'would be' if dry_run else 'are'} in partitions.")
    click.echo(f"Partitions {'to make' if dry_run else 'made'}: {', '.join(made) or 'none'}.")


@group.command("drop", epilog=examples("flask partitions drop 2026-01 --dry-run", "flask partitions drop 2026-01"))
@click.argument("month", type=click.DateTime(["%Y-%m"]))
@dry_run_option
def drop(month: datetime, *, dry_run: bool) -> None:
    """Drop a month whose deliveries are gone; refused while anything refers to one of its events."""
    _require_postgresql()
    name = _name((month.year, month.month))
    with rehearsable(dry_run=dry_run) as session:
        if name not in _partitions(session):
            raise click.ClickException(f"There is no partition {name}.")
        if session.execute(text(f"SELECT EXISTS (SELECT FROM {name})")).scalar_one():  # noqa: S608  our own name
            raise click.ClickException(f"{name} holds events; the history of deliveries that are kept is kept.")
        session.execute(text(f"ALTER TABLE {TABLE} DETACH PARTITION {name}"))
        session.execute(text(f"DROP TABLE {name}"))
    click.echo(f"{name} {'would be' if dry_run else 'is'} dropped.")


def keep_ahead(_limit: int) -> int:
    """Make the coming months' partitions, where there are any; a chore of flask cron. Returns 0: there is no more."""
    if backend() == "postgresql" and is_partitioned(db.session()):
        made = keep_ahead_in(db.session())
        if made:
            logger.info("made partitions", extra={"count": len(made)})
    return 0


def is_partitioned(session: Session) -> bool:
    return bool(session.execute(_IS_PARTITIONED, {"name": TABLE}).scalar_one())


def split(session: Session) -> int:
    """Put every event into the partition of its month; returns how many there are.

    Everything that is defined about the table is read off it and defined again, so later migrations count as well.
    """
    session.execute(text("SET LOCAL lock_timeout = '60s'"))
    session.execute(text("SET LOCAL statement_timeout = 0"))
    referring = _defined(session, "references", TABLE)
    names = ", ".join(sorted({TABLE, *(one.owner for one in referring)}))
    session.execute(text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
    constraints, indexes, triggers, columns = (
        _defined(session, what, TABLE) for what in ("constraints", "indexes", "triggers", "columns")
    )
    for one in referring:
        session.execute(text(f"ALTER TABLE {one.owner} DROP CONSTRAINT {one.name}"))
    session.execute(text(f"ALTER TABLE {TABLE} RENAME TO {OLD}"))
    like = f"CREATE TABLE {TABLE} (LIKE {OLD} INCLUDING DEFAULTS INCLUDING GENERATED)"
    session.execute(text(f"{like} PARTITION BY RANGE (delivery_id)"))
    session.execute(text(f"CREATE TABLE {DEFAULT} PARTITION OF {TABLE} DEFAULT"))
    for month in _months_of_events(session):
        _make(session, month)
    listed = ", ".join(one.name for one in columns)
    session.execute(text(f"INSERT INTO {TABLE} ({listed}) SELECT {listed} FROM {OLD}"))  # noqa: S608  names of ours
    _check_and_drop_old(session)
    _define(session, constraints, indexes, triggers)
    for one in referring:
        session.execute(text(f"ALTER TABLE {one.owner} ADD CONSTRAINT {one.name} {one.definition}"))
    return _count(session, TABLE)


def _check_and_drop_old(session: Session) -> None:
    before, after = _count(session, OLD), _count(session, TABLE)
    if before != after:
        raise click.ClickException(f"{before} events became {after}; nothing was changed.")
    session.execute(text(f"DROP TABLE {OLD}"))


def _define(session: Session, constraints: Sequence[Any], indexes: Sequence[Any], triggers: Sequence[Any]) -> None:
    for one in constraints:
        session.execute(text(f"ALTER TABLE {TABLE} ADD CONSTRAINT {one.name} {one.definition}"))
    for one in indexes:
        # What is unique without the key can be so within each partition alone; `ONLY` and its like have no use here.
        for table in _partitions(session) if one.is_unique else [TABLE]:
            _index(session, one, table)
    for one in triggers:
        # A trigger of each statement looks at the table that the statement names, so the partitions need their own.
        for table in [TABLE] if one.each_row else [TABLE, *_partitions(session)]:
            session.execute(text(_on(one.definition, table)))


def _index(session: Session, index: Any, table: str) -> None:
    name = index.name if table == TABLE else index.name.replace(TABLE, table).replace(DEFAULT, table)
    definition = _on(index.definition, table).replace(f"INDEX {index.name} ", f"INDEX {name} ", 1)
    session.execute(text(definition.replace(" ON ONLY ", " ON ")))


def _on(definition: str, table: str) -> str:
    """Return a definition, of the whole table or of a partition, for another table."""
    for known in (DEFAULT, TABLE):
        for word in (f" ON public.{known} ", f" ON {known} "):
            definition = definition.replace(word, f" ON {table} ")
    return definition


def keep_ahead_in(session: Session) -> list[str]:
    """Make the partitions from this month on that are not there; returns their names."""
    there = _partitions(session)
    now = clock.now()
    wanted = [_later((now.year, now.month), months) for months in range(AHEAD_MONTHS + 1)]
    missing = [month for month in wanted if _name(month) not in there]
    for month in missing:
        _make(session, month)
        _complete(session, _name(month))
    return [_name(month) for month in missing]


def _make(session: Session, month: Month) -> None:
    begin, end = _first_id(month), _first_id(_later(month, 1))
    bounds = f"FOR VALUES FROM ('{begin}') TO ('{end}')"
    session.execute(text(f"CREATE TABLE {_name(month)} PARTITION OF {TABLE} {bounds}"))


def _complete(session: Session, name: str) -> None:
    """Give a new partition what only partitions have, as the default one has it."""
    mine = {one.name for one in _defined(session, "indexes", name)}
    for one in _defined(session, "indexes", DEFAULT):
        if one.is_unique and one.name.replace(DEFAULT, name) not in mine:
            _index(session, one, name)
    for one in _defined(session, "triggers", DEFAULT):
        if not one.each_row:
            session.execute(text(_on(one.definition, name)))


def _months_of_events(session: Session) -> Iterator[Month]:
    """Yield the months of the deliveries there are; what is no UUIDv7 of our time goes to the default partition."""
    ids = session.execute(text(f"SELECT min(delivery_id::text), max(delivery_id::text) FROM {OLD}")).one()  # noqa: S608
    if ids[0] is None:
        return
    now = clock.now()
    end = (now.year, now.month)
    month = max(_month_of(UUID(ids[0])), _later(end, -10 * _MONTHS_PER_YEAR))
    while month <= min(_month_of(UUID(ids[1])), end):
        yield month
        month = _later(month, 1)


def _month_of(delivery_id: UUID) -> Month:
    seconds = min((delivery_id.int >> 80) / 1000, 253_402_300_799)  # the year 9999
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.year, moment.month


def _later(month: Month, months: int) -> Month:
    years, index = divmod(month[0] * _MONTHS_PER_YEAR + month[1] - 1 + months, _MONTHS_PER_YEAR)
    return years, index + 1


def _first_id(month: Month) -> UUID:
    return oldest_id(datetime(*month, 1, tzinfo=UTC))


def _name(month: Month) -> str:
    return f"{TABLE}_{month[0]:04}_{month[1]:02}"


def _partitions(session: Session) -> list[str]:
    return sorted(session.execute(_PARTITIONS, {"name": TABLE}).scalars())


def _defined(session: Session, what: str, table: str) -> Sequence[Row[Any]]:
    return session.execute(_DEFINED[what], {"name": table}).all()


def _count(session: Session, table: str) -> int:
    counted: int = session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608  our own name
    return counted


def _require_postgresql() -> None:
    if backend() != "postgresql":
        raise click.ClickException("SQLite has no partitions.")
