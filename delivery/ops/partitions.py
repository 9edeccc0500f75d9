"""The history in partitions, a month of deliveries each: PostgreSQL's own, made from the table as it stands.

`delivery_events` is split by range of delivery_id. Ids are UUIDv7, so a range is a month of creation, every event of a
delivery is in one partition, and the keys that hold the chain contain what it is split by. One constraint does not:
that no two events have one place in the feed holds within each partition; across them it is numbering.py's lock.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from delivery.cli import Group, dry_run_option, examples, rehearsable
from delivery.database import backend, db
from delivery.ops import months, outbox_partitions

TABLE, OLD, DEFAULT = "delivery_events", "delivery_events_whole", "delivery_events_other"
_DEFINED = {
    # The others' references come last: what they refer to has to be there.
    "constraints": text(
        "SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
        " WHERE conrelid = to_regclass(:name) AND contype IN ('p', 'u', 'c', 'f')"
        " ORDER BY array_position(ARRAY['p', 'u', 'c', 'f']::\"char\"[], contype), conname"
    ),
    "references": text(
        "SELECT conrelid::regclass::text AS owner, conname AS name, pg_get_constraintdef(oid) AS definition"
        " FROM pg_constraint WHERE confrelid = to_regclass(:name) AND conrelid <> confrelid AND conparentid = 0"
        " ORDER BY conname"
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
group = Group("partitions", help="Keep the history, and the outbox, in partitions, a month each (PostgreSQL).")
_of = click.option(
    "--of",
    "what",
    type=click.Choice(["history", "outbox"]),
    default="history",
    show_default=True,
    help="Which table.",
)


@group.command("create", epilog=examples("flask partitions create --dry-run", "flask partitions create --of outbox"))
@_of
@dry_run_option
def create(*, what: str, dry_run: bool) -> None:
    """Split the history or the outbox by month, or make the months to come; flask cron does the latter by itself.

    The first time it holds the tables meanwhile, and copies every event: stop the API and the workers, or let them
    wait. Of the outbox nothing is copied, and it is refused while messages are being sent. There is no way back.
    """
    _require_postgresql()
    table, divide, complete, noun = _TABLES[what]
    with rehearsable(dry_run=dry_run) as session:
        count = None if months.is_partitioned(session, table) else divide(session)
        made = months.make_ahead(session, table, complete)
    if count is not None:
        click.echo(f"{count} {noun} {'would be' if dry_run else 'are'} in partitions.")
    click.echo(f"Partitions {'to make' if dry_run else 'made'}: {', '.join(made) or 'none'}.")


@group.command("drop", epilog=examples("flask partitions drop 2026-01 --dry-run", "flask partitions drop 2026-01"))
@click.argument("month", type=click.DateTime(["%Y-%m"]))
@_of
@dry_run_option
def drop(month: datetime, *, what: str, dry_run: bool) -> None:
    """Drop a month that nobody needs any more.

    Of the history one without events; of the outbox one whose messages were all settled long ago, with their attempts.
    """
    _require_postgresql()
    table = _TABLES[what][0]
    name = months.name_of(table, (month.year, month.month))
    with rehearsable(dry_run=dry_run) as session:
        if name not in months.partitions(session, table):
            raise click.ClickException(f"There is no partition {name}.")
        if (month.year, month.month) == months.this_month():
            raise click.ClickException(f"{name} is this month's.")
        _refuse_or_empty(session, what, name)
        session.execute(text(f"ALTER TABLE {table} DETACH PARTITION {name}"))
        session.execute(text(f"DROP TABLE {name}"))
    click.echo(f"{name} {'would be' if dry_run else 'is'} dropped.")


def _refuse_or_empty(session: Session, what: str, name: str) -> None:
    if what == "outbox":
        outbox_partitions.forget(session, name)
    elif session.execute(text(f"SELECT EXISTS (SELECT FROM {name})")).scalar_one():  # noqa: S608  our own name
        raise click.ClickException(f"{name} holds events; the history of deliveries that are kept is kept.")


def keep_ahead(_limit: int) -> int:
    """Make the coming months' partitions, where there are any; a chore of flask cron. Returns 0: there is no more."""
    if backend() == "postgresql":
        session = db.session()
        for table, _, complete, _ in _TABLES.values():
            if months.is_partitioned(session, table):
                months.make_ahead_unless_busy(session, table, complete)
    return 0


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
        months.make(session, TABLE, month)
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
        for table in months.partitions(session, TABLE) if one.is_unique else [TABLE]:
            _index(session, one, table)
    for one in triggers:
        # A trigger of each statement looks at the table that the statement names, so the partitions need their own.
        for table in [TABLE] if one.each_row else [TABLE, *months.partitions(session, TABLE)]:
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


def _complete(session: Session, name: str) -> None:
    """Give a new partition what only partitions have, as the default one has it."""
    mine = {one.name for one in _defined(session, "indexes", name)}
    for one in _defined(session, "indexes", DEFAULT):
        if one.is_unique and one.name.replace(DEFAULT, name) not in mine:
            _index(session, one, name)
    for one in _defined(session, "triggers", DEFAULT):
        if not one.each_row:
            session.execute(text(_on(one.definition, name)))


def _months_of_events(session: Session) -> Iterator[months.Month]:
    """Yield the months of the deliveries there are; what is no UUIDv7 of our time goes to the default partition."""
    ids = session.execute(text(f"SELECT min(delivery_id::text), max(delivery_id::text) FROM {OLD}")).one()  # noqa: S608
    if ids[0] is None:
        return
    end = months.this_month()
    month = max(_month_of(UUID(ids[0])), months.later(end, -10 * months.MONTHS_PER_YEAR))
    while month <= min(_month_of(UUID(ids[1])), end):
        yield month
        month = months.later(month, 1)


def _month_of(delivery_id: UUID) -> months.Month:
    seconds = min((delivery_id.int >> 80) / 1000, 253_402_300_799)  # the year 9999
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.year, moment.month


def _defined(session: Session, what: str, table: str) -> Sequence[Row[Any]]:
    return session.execute(_DEFINED[what], {"name": table}).all()


def _count(session: Session, table: str) -> int:
    counted: int = session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608  our own name
    return counted


def _require_postgresql() -> None:
    if backend() != "postgresql":
        raise click.ClickException("SQLite has no partitions.")


_TABLES: dict[str, tuple[str, Callable[[Session], int], Callable[[Session, str], None], str]] = {
    "history": (TABLE, split, _complete, "events"),
    "outbox": (outbox_partitions.TABLE, outbox_partitions.split, outbox_partitions.complete, "messages"),
}
