"""`flask audit`: read the audit log, and find out whether somebody rewrote it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import click

from delivery import clock
from delivery.audit import services
from delivery.audit.queries import entries
from delivery.audit.schemas import entry_out
from delivery.cli import Group, examples, json_option, print_json, print_table

group = Group("audit", help="Who did what to accounts and access; and is the log still as it was written.")

_SHOWN = ("seq", "at", "act", "actor_type", "actor_id", "object_type", "object_id", "request_id")


@group.command(
    "list",
    epilog=examples(
        "flask audit list --act 'session.*' --hours 24",
        "flask audit list --object 01890a5d-ac96-774b-bcce-b302099a8057 --json",
    ),
)
@click.option("--act", help="One act, or its beginning and *: session.*")
@click.option("--actor", type=click.UUID, help="The id of a user: what they did.")
@click.option("--object", "object_id", type=click.UUID, help="The id of a user, session, key ...: what was done to it.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="Only of the last so many hours.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@json_option
def list_entries(
    act: str | None, actor: UUID | None, object_id: UUID | None, hours: float | None, limit: int, *, as_json: bool
) -> None:
    """List entries of the audit log, the newest first."""
    rows = entries(
        before=None, limit=limit, act=act, actor_id=actor, object_id=object_id, since=_ago(hours) if hours else None
    )
    if as_json:
        print_json([entry_out(row) for row in rows])
        return
    print_table([{name: getattr(row, name) for name in _SHOWN} for row in rows], empty="There are no such entries.")


def _ago(hours: float) -> datetime:
    return clock.now() - timedelta(hours=min(hours, 24 * 365 * 100))


def _checked(_context: click.Context, _option: click.Parameter, value: Any) -> Any:
    seq, _, digest = (value or "").partition(":")
    if value and not (seq.isdecimal() and len(seq) < 19 and len(digest) == 64):  # noqa: PLR2004  # SHA-256 in hex
        raise click.BadParameter("Must be a head as `flask audit verify` prints it: seq:hash.")
    return value


@group.command(
    "verify",
    epilog=examples(
        "flask audit verify",
        "flask audit verify --head 42:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
)
@click.option(
    "--head",
    metavar="SEQ:HASH",
    callback=_checked,
    help="A head that was printed before and kept elsewhere.",
)
@json_option
def verify(head: str | None, *, as_json: bool) -> None:
    """Compute the hash of every entry anew.

    The log is a chain: each entry's hash covers the entry and the hash before. Whoever rewrites the whole rest of it,
    or cuts off its end, is found only by a head kept elsewhere: keep what this prints, and give it back as --head.
    `flask cron` logs the head when it has grown. Exit code 1 when something was changed.
    """
    verdict = services.verify()
    lost = head is not None and not services.holds(head)
    if as_json:
        print_json(
            {"entries": verdict.entries, "head": verdict.head, "broken_at": verdict.broken_at, "head_found": not lost}
        )
    else:
        click.echo(_in_words(verdict, lost=lost))
    if lost or verdict.broken_at:
        raise click.exceptions.Exit(1)


def _in_words(verdict: services.Verdict, *, lost: bool) -> str:
    lines = [f"{verdict.entries} entries are as they were written; head {verdict.head or '-'}"]
    if verdict.broken_at:
        lines.append(f"Entry {verdict.broken_at} was changed, or is missing: nothing from there on can be trusted.")
    if lost:
        lines.append("The given head is not in this log: its end was cut off, or it was rewritten.")
    return "\n".join(lines)
