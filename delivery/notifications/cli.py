"""The commands `flask notifications ...`: see what was sent and what was not, and send it once more.

They show no address: the outbox holds none.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import click
from sqlalchemy import Row

from delivery.cli import Group, examples, in_batches, json_option, print_json, print_table, progress
from delivery.database import transaction
from delivery.notifications import queries, services
from delivery.notifications.queries import Filter
from delivery.notifications.states import REPEATED_AS_NEW, RESENDABLE, Channel, MessageState

group = Group("notifications", help="See what was sent and what was not, and send it once more.")

MOST = 10_000
CHUNK = 100
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class _Age(click.ParamType[timedelta]):
    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if match is None:
            self.fail("expected a number and s, m, h or d, such as 30m or 2h", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


_delivery = click.option("--delivery", type=click.UUID, help="Those of one delivery, by its id.")
_state = click.option(
    "--state", "states", type=click.Choice([one.value for one in MessageState]), multiple=True, help="In this state."
)
_channel = click.option("--channel", type=click.Choice([one.value for one in Channel]), help="Of this channel.")
_since = click.option("--since", type=_Age(), help="Written since so long ago: 30m, 2h, 7d.")


@group.command(
    "list",
    epilog=examples(
        "flask notifications list --state dead --state uncertain",
        "flask notifications list --channel sms --since 2h --json",
    ),
)
@_delivery
@_state
@_channel
@_since
@click.option("--limit", type=click.IntRange(1, MOST), default=20, show_default=True, help="At most so many.")
@json_option
def list_messages(
    *,
    delivery: UUID | None,
    states: Sequence[str],
    channel: str | None,
    since: timedelta | None,
    limit: int,
    as_json: bool,
) -> None:
    """List messages, the newest first."""
    chosen = Filter(delivery_id=delivery, states=states, channel=channel, since=since)
    rows = queries.newest(chosen, limit=limit)
    if as_json:
        print_json([_public(row) for row in rows])
        return
    print_table([_line(row) for row in rows], empty="There are no such messages.")


@group.command(epilog=examples("flask notifications show 0198f3a2-7c1e-7d3b-9f57-0c6f2a9b4e11"))
@click.argument("message_id", metavar="ID", type=click.UUID)
@json_option
def show(*, message_id: UUID, as_json: bool) -> None:
    """Show one message and every attempt to send it. Exit code 1: there is none with this ID."""
    rows = queries.newest(Filter(ids=[message_id]), limit=1)
    if not rows:
        raise click.ClickException("There is no such message.")
    attempts = queries.attempts_of(message_id)
    if as_json:
        print_json(_public(rows[0]) | {"attempts_made": [dict(one._mapping) for one in attempts]})  # noqa: SLF001
        return
    for name, value in _public(rows[0]).items():
        click.echo(f"{name + ':':15}{'' if value is None else value}")
    for one in attempts:
        click.echo(f"attempt {one.n}:     {one.started_at:%Y-%m-%d %H:%M:%S} {one.outcome or 'open'} {one.error or ''}")


@group.command(
    epilog=examples(
        "flask notifications resend 0198f3a2-7c1e-7d3b-9f57-0c6f2a9b4e11",
        "flask notifications resend --state dead --channel sms --since 2h --dry-run",
    )
)
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.UUID)
@_delivery
@_state
@_channel
@_since
@click.option("--dry-run", is_flag=True, help="Only say which.")
@json_option
def resend(
    *,
    ids: Sequence[UUID],
    delivery: UUID | None,
    states: Sequence[str],
    channel: str | None,
    since: timedelta | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send messages once more: those with these IDs, or those that the options choose.

    One that failed gets another attempt; one that arrived is sent as a new message. Without --state the options choose
    failed, dead and uncertain ones alone. Exit code 1: nothing was found that can be sent again.
    """
    if not (ids or delivery or states or channel or since):
        raise click.UsageError("Say which: give an ID or at least one option.")
    chosen = Filter(ids=ids, delivery_id=delivery, states=states or _default_states(ids), channel=channel, since=since)
    rows = queries.newest(chosen, limit=MOST)
    if len(rows) == MOST:
        click.echo(f"These are the newest {MOST}; there may be more: run it again.", err=True)
    resent = {row.id: row.id if _can_resend(row) else None for row in rows} if dry_run else _resend(rows, quiet=as_json)
    if as_json:
        print_json([{"id": row.id, "state": row.state, "sent_as": resent[row.id]} for row in rows])
    else:
        for row in rows:
            click.echo(_outcome(row, resent[row.id], dry_run=dry_run))
    if not any(resent.values()):
        raise click.ClickException("Nothing was found that can be sent again.")


def _default_states(ids: Sequence[UUID]) -> Sequence[str]:
    return () if ids else sorted(RESENDABLE)


def _can_resend(row: Row[Any]) -> bool:
    return row.state in RESENDABLE | REPEATED_AS_NEW


def _resend(rows: Sequence[Row[Any]], *, quiet: bool) -> dict[UUID, UUID | None]:
    resent: dict[UUID, UUID | None] = {}
    with progress("Resending", length=len(rows), quiet=quiet) as bar:
        for batch in in_batches((row.id for row in rows), size=CHUNK):
            with transaction():
                resent |= services.resend(batch)
            bar.update(len(batch))
    return resent


def _outcome(row: Row[Any], becomes: UUID | None, *, dry_run: bool) -> str:
    if becomes is None:
        return f"{row.id}  left alone: {row.state}"
    name = f"as {becomes}" if becomes != row.id else "once more"
    return f"{row.id}  {'would be sent' if dry_run else 'will be sent'} {name}"


def _line(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "written": row.created_at,
        "channel": row.channel,
        "state": row.state,
        "event": row.event,
        "audience": row.audience,
        "attempts": row.attempts,
        "error": row.error_class,
    }


def _public(row: Row[Any]) -> dict[str, Any]:
    """Everything but how workers agree among themselves."""
    return {name: value for name, value in row._mapping.items() if name not in {"lane", "lease_token"}}  # noqa: SLF001
