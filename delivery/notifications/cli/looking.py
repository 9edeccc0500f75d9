"""`flask notifications list`, `show` and `stats`: what was sent and what was not, and why."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

import click
from redis.exceptions import RedisError

from delivery.cli import examples, json_option, print_json, print_table, shown
from delivery.notifications import heartbeat, holding, queries, stats
from delivery.notifications.breakers import held_up
from delivery.notifications.cli.choosing import choosing
from delivery.notifications.cli.group import group
from delivery.notifications.queries import Filter
from delivery.notifications.schemas import message_out, story_out

MOST = 10_000
HOUR_SECONDS = 3600


@group.command(
    "list",
    epilog=examples(
        "flask notifications list --state dead --state uncertain",
        "flask notifications list --channel sms --since 2h --json",
    ),
)
@choosing
@click.option("--limit", type=click.IntRange(1, MOST), default=20, show_default=True, help="At most so many.")
@json_option
def list_messages(*, chosen: Filter | None, limit: int, as_json: bool) -> None:
    """List messages, the newest first."""
    rows = queries.page(chosen or Filter(), limit=limit)
    waiting = held_up(rows)
    messages = [message_out(row, held_up=waiting) for row in rows]
    if as_json:
        print_json(messages)
        return
    print_table([_line(message) for message in messages], empty="There are no such messages.")


@group.command(epilog=examples("flask notifications show 0198f3a2-7c1e-7d3b-9f57-0c6f2a9b4e11"))
@click.argument("message_id", metavar="ID", type=click.UUID)
@json_option
def show(*, message_id: UUID, as_json: bool) -> None:
    """Show one message, why it was not sent, and every attempt. Exit code 1: there is none with this ID."""
    row = queries.message_by_id(message_id)
    if row is None:
        raise click.ClickException("There is no such message.")
    story = story_out(row, queries.attempts_of(message_id), staff=True, held_up=held_up([row]))
    if as_json:
        print_json(story)
        return
    attempts = story.pop("attempts_made")
    for name, value in story.items():
        click.echo(f"{name + ':':15}{'' if value is None else shown(value)}".rstrip())
    for one in attempts:
        said = (one["outcome"] or "open", one["provider"], one["error_class"], one["error"])
        words = " ".join(shown(word) for word in said if word)
        click.echo(f"{'attempt ' + str(one['number']) + ':':15}{one['started_at']:%Y-%m-%d %H:%M:%S} {words}")


def _line(message: Mapping[str, Any]) -> dict[str, Any]:
    same = ("channel", "state", "event", "audience", "attempts")
    shown_as = {"id": message["id"], "written": message["created_at"]}
    return shown_as | {name: message[name] for name in same} | {"error": message["error_class"]}


@group.command("stats", epilog=examples("flask notifications stats", "flask notifications stats --json"))
@json_option
def show_stats(*, as_json: bool) -> None:
    """Count messages: what waits, what is late, what was given up, and how the attempts of the last hour went.

    Of settled messages it counts those written within 24 hours; those given up, as long as they are kept.
    """
    found = _stats()
    if as_json:
        print_json(found)
        return
    tables: dict[str, list[dict[str, Any]]] = {
        "waiting": found["waiting"],
        "given up": found["given_up"],
        "written within 24 hours": found["last_day"],
        "attempts of the last hour": found["attempts"],
        "breakers": found["breakers"],
    }
    for title, rows in tables.items():
        click.echo(f"{title}:")
        print_table(rows, empty="none")
        click.echo()
    late = ", ".join(f"{channel} {seconds:.0f} s" for channel, seconds in found["overdue_seconds"].items())
    click.echo(f"oldest that could have been sent: {late}")
    click.echo(f"last sweep: {found['last_sweep']}")
    if held := found["held"]:
        click.echo(f"held since {shown(held['held_at'])}, nothing is sent: {shown(held['reason'])}")


def _stats() -> dict[str, Any]:
    return {
        "waiting": [{**asdict(one), "later": one.count - one.due} for one in stats.waiting()],
        "overdue_seconds": stats.overdue_seconds(),
        "given_up": _counted(stats.given_up(), "state"),
        "last_day": _counted(stats.of_last_day(), "state"),
        "attempts": _counted(stats.outcomes(of_last_seconds=HOUR_SECONDS), "outcome"),
        "breakers": [dict(row._mapping) for row in stats.breakers()],  # noqa: SLF001  # public by its documentation
        "held": dict(held._mapping) if (held := holding.standing()) else None,  # noqa: SLF001  # the same
        **_last_sweep(),
    }


def _counted(counts: stats.ByState, name: str) -> list[dict[str, Any]]:
    return [{"channel": channel, name: state, "count": count} for (channel, state), count in counts.items()]


def _last_sweep() -> dict[str, Any]:
    try:
        age = heartbeat.age_seconds()
    except RedisError:
        return {"last_sweep": "unknown: Redis is down", "last_sweep_seconds": None}
    words = f"{age:.1f} s ago" if age is not None else f"none for {heartbeat.TTL_SECONDS} s: does flask cron run?"
    return {"last_sweep": words, "last_sweep_seconds": age}
