"""`flask ops status`: what runs, and how the outbox, the queues and the workers are, on one screen."""

import platform
from typing import Any

import click
from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from delivery.cli import Group, examples, json_option, print_json, print_table
from delivery.notifications import stats
from delivery.notifications.states import Channel
from delivery.ops import queues
from delivery.ops.checks import Finding, Level
from delivery.ops.doctor import CHECKS, described, examine, line
from delivery.ops.openapi import version

group = Group("ops", help="What runs, and how it is.")
# What only looks: doctor tries the mail server and the disk as well.
_LOOKED_AT = ("database", "schema", "writes", "redis", "cron", "hold", "breakers", "unsent")
_OF_CHANNELS = tuple(f"{channel} {part}" for channel in Channel for part in ("worker", "queue"))


@group.command(epilog=examples("flask ops status", "flask ops status --json"))
@json_option
def status(*, as_json: bool) -> None:
    """Show what runs and how it is: versions, database, Redis, cron, outbox, queues, workers.

    Exit code 0 when all is well, 1 when something needs a hand: whatever is not `ok`, or of a channel.
    """
    found = examine(tuple(check for check in CHECKS if check.what in _LOOKED_AT + _OF_CHANNELS))
    well = all(finding.level is Level.OK for _, finding in found)
    channels = _channels()
    if as_json:
        print_json({"ok": well, **_build(), "checks": [described(*one) for one in found], "channels": channels})
    else:
        _print(found, channels)
    if not well:
        click.get_current_context().exit(1)


def _print(found: list[tuple[Any, Finding]], channels: list[dict[str, Any]]) -> None:
    build = _build()
    click.echo(f"Delivery {build['version']} ({build['revision'] or 'commit unknown'}), Python {build['python']}\n")
    for check, finding in found:
        if check.what in _LOOKED_AT or finding.level is not Level.OK:
            click.echo(line(check, finding))
    click.echo()
    print_table(channels, empty="")


def _build() -> dict[str, str]:
    return {
        "version": version(),
        "revision": current_app.config["GIT_REVISION"],
        "python": platform.python_version(),
    }


def _channels() -> list[dict[str, Any]]:
    """Return a row for each channel; what nobody can tell at the moment is None."""
    outbox, work = _outbox(), _work()
    return [{"channel": channel.value, **outbox[channel], **work[channel]} for channel in Channel]


def _outbox() -> dict[str, dict[str, Any]]:
    try:
        waiting, given_up, late = stats.waiting(), stats.given_up(), stats.overdue_seconds()
    except SQLAlchemyError:
        return {channel: {"waiting": None, "late_seconds": None, "given_up": None} for channel in Channel}
    return {
        channel: {
            "waiting": sum(one.count for one in waiting if one.channel == channel),
            "late_seconds": round(late[channel]),
            "given_up": sum(count for (of, _), count in given_up.items() if of == channel),
        }
        for channel in Channel
    }


def _work() -> dict[str, dict[str, Any]]:
    try:
        found = queues.all_of_them()
    except RedisError:
        nobody_knows = dict.fromkeys(("jobs", "oldest_job_seconds", "workers", "busy", "heartbeat_seconds"))
        return dict.fromkeys(Channel, nobody_knows)
    return {
        one.name: {
            "jobs": one.jobs,
            "oldest_job_seconds": round(one.oldest_seconds),
            "workers": sum(one.workers.values()),
            "busy": one.workers.get("busy", 0),
            "heartbeat_seconds": None if one.heartbeat_seconds is None else round(one.heartbeat_seconds),
        }
        for one in found
    }
