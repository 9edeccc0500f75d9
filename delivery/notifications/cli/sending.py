"""`flask notifications resend` and `cancel`: bounded batches, each a transaction, so that a break costs nothing."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any
from uuid import UUID

import click
from sqlalchemy import Row

from delivery import clock
from delivery.cli import (
    dry_run_option,
    examples,
    in_batches,
    json_option,
    print_json,
    print_table,
    progress,
)
from delivery.database import transaction
from delivery.notifications import queries, services
from delivery.notifications.cli.choosing import choosing
from delivery.notifications.cli.group import group
from delivery.notifications.queries import Filter
from delivery.notifications.states import REPEATED_AS_NEW, RESENDABLE

CHUNK = 100
ASK_ABOVE = 100
AGAIN, AS_NEW, LEFT_ALONE, CANCELLED = "sent once more", "sent as a new message", "left alone", "cancelled"
_Page = Callable[..., Sequence[Row[Any]]]
_limit = click.option("--limit", type=click.IntRange(1), help="At most so many, the oldest first.")
_yes = click.option("--yes", is_flag=True, help=f"Do not ask, however many; else above {ASK_ABOVE}.")


@group.command(
    epilog=examples(
        "flask notifications resend 0198f3a2-7c1e-7d3b-9f57-0c6f2a9b4e11",
        "flask notifications resend --delivery 1234-5678-9ABC-D --state failed",
        "flask notifications resend --state dead --channel sms --since 2h --dry-run",
    )
)
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.UUID)
@choosing
@_limit
@dry_run_option
@_yes
@json_option
def resend(
    *, ids: Sequence[UUID], chosen: Filter | None, limit: int | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Send messages once more: those with these IDs, or those that the options choose, the oldest first.

    One that failed gets another attempt; one that arrived is sent as a new message. Without --state the options choose
    failed, dead and uncertain ones alone; of those that arrived they choose none that is a copy or has one. So after a
    break the same command goes on where it stopped. Exit code 1: nothing was found that can be sent again.
    """
    wanted = _which(ids, chosen, states=sorted(RESENDABLE))
    total = _total(queries.counts_to_resend(wanted), limit=limit)
    if not dry_run:
        _ask(f"Send {total} messages once more?", count=total, yes=yes)
    outcomes: Counter[tuple[str, str, str]] = Counter()
    lines = []
    rows = _all(wanted, queries.to_resend, limit=limit)
    with progress("Resending", length=total, quiet=as_json or dry_run) as bar:
        for batch in in_batches(rows, size=CHUNK):
            resent = _would_resend(batch) if dry_run else _resend(batch)
            outcomes.update((row.channel, row.state, _fate(row, resent[row.id])) for row in batch)
            lines += [{"id": row.id, "state": row.state, "sent_as": resent[row.id]} for row in batch if ids]
            bar.update(len(batch))
    _report(outcomes, lines, dry_run=dry_run, as_json=as_json)
    if not any(fate != LEFT_ALONE for *_, fate in outcomes):
        raise click.ClickException("Nothing was found that can be sent again.")


@group.command(
    epilog=examples(
        "flask notifications cancel 0198f3a2-7c1e-7d3b-9f57-0c6f2a9b4e11",
        "flask notifications cancel --event created --since 10m --dry-run",
    )
)
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.UUID)
@choosing
@_limit
@dry_run_option
@_yes
@json_option
def cancel(
    *, ids: Sequence[UUID], chosen: Filter | None, limit: int | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Cancel messages that wait: those with these IDs, or those that the options choose.

    What is in a worker's hands is left to it. Exit code 1: nothing was found that waits.
    """
    wanted = _which(ids, chosen, states=["pending"])
    total = _total(queries.counts_to_cancel(wanted), limit=limit)
    if not dry_run:
        _ask(f"Cancel {total} messages?", count=total, yes=yes)
    outcomes: Counter[tuple[str, str, str]] = Counter()
    with progress("Cancelling", length=total, quiet=as_json or dry_run) as bar:
        for batch in in_batches(_all(wanted, queries.to_cancel, limit=limit), size=CHUNK):
            gone = {row.id for row in batch} if dry_run else _cancel(batch)
            outcomes.update((row.channel, row.state, CANCELLED if row.id in gone else LEFT_ALONE) for row in batch)
            bar.update(len(batch))
    _report(outcomes, [], dry_run=dry_run, as_json=as_json)
    if not any(fate == CANCELLED for *_, fate in outcomes):
        raise click.ClickException("Nothing was found that waits.")


def _which(ids: Sequence[UUID], chosen: Filter | None, *, states: Sequence[str]) -> Filter:
    """Return what was asked for; nothing that is written from now on, so that the command comes to an end."""
    if not ids and chosen is None:
        raise click.UsageError("Say which: give an ID or at least one option.")
    wanted = chosen or Filter()
    if ids:
        return replace(wanted, ids=ids)
    return replace(wanted, state=wanted.state or states, until=wanted.until or clock.now())


def _total(counts: dict[tuple[str, str], int], *, limit: int | None) -> int:
    found = sum(counts.values())
    return found if limit is None else min(found, limit)


def _ask(question: str, *, count: int, yes: bool) -> None:
    if count > ASK_ABOVE and not yes:
        click.confirm(question, abort=True, err=True)


def _all(wanted: Filter, page: _Page, *, limit: int | None) -> Iterator[Row[Any]]:
    """Yield the chosen rows, read page by page; what has been dealt with is behind the page's id."""
    return islice(_pages(wanted, page), limit)


def _pages(wanted: Filter, page: _Page) -> Iterator[Row[Any]]:
    after = None
    while rows := page(wanted, after=after, limit=CHUNK):
        yield from rows
        after = rows[-1].id


def _resend(batch: Sequence[Row[Any]]) -> dict[UUID, UUID | None]:
    with transaction():
        return services.resend([row.id for row in batch])


def _would_resend(batch: Sequence[Row[Any]]) -> dict[UUID, UUID | None]:
    return {row.id: row.id if row.state in RESENDABLE | REPEATED_AS_NEW else None for row in batch}


def _cancel(batch: Sequence[Row[Any]]) -> set[UUID]:
    with transaction():
        return services.withdraw([row.id for row in batch])


def _fate(row: Row[Any], becomes: UUID | None) -> str:
    if becomes is None:
        return LEFT_ALONE
    return AGAIN if row.state in RESENDABLE else AS_NEW


def _report(
    outcomes: Counter[tuple[str, str, str]], messages: list[dict[str, Any]], *, dry_run: bool, as_json: bool
) -> None:
    rows = [
        {"channel": channel, "was": state, "outcome": fate, "count": count}
        for (channel, state, fate), count in sorted(outcomes.items())
    ]
    if as_json:
        print_json({"dry_run": dry_run, "outcomes": rows, "messages": messages})
        return
    for one in messages:
        click.echo(_in_words(one, dry_run=dry_run))
    print_table(rows, empty="There are no such messages.")
    if dry_run:
        click.echo("Nothing was changed: this was a dry run.")


def _in_words(one: dict[str, Any], *, dry_run: bool) -> str:
    if one["sent_as"] is None:
        return f"{one['id']}  left alone: {one['state']}"
    name = "as a new message" if one["state"] in REPEATED_AS_NEW else "once more"
    if one["sent_as"] != one["id"]:
        name = f"as {one['sent_as']}"
    return f"{one['id']}  {'would be sent' if dry_run else 'will be sent'} {name}"
