"""Which messages: the options that choose them, the same for every command."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from uuid import UUID

import click
from flask import Flask, current_app

from delivery import clock
from delivery.cli import Checked
from delivery.errors import NotFound
from delivery.notifications.queries import Filter
from delivery.notifications.states import Channel, MessageState
from delivery.web import Line

_KEY = "delivery.delivery_by_number"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CHOOSING = ("delivery", "states", "channel", "event", "audience", "since", "until")


def init_app(app: Flask, by_number: Callable[[str], UUID | None]) -> None:
    """Give the commands a way from a tracking number to its delivery, of which the outbox knows nothing."""
    app.extensions[_KEY] = by_number


class _Age(click.ParamType[timedelta]):
    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,5})([smhd])", str(value), re.ASCII)
        if match is None:
            self.fail("expected a number and s, m, h or d, such as 30m or 2h", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


_AGE, _SINCE, _UNTIL = _Age(), "Written since so long ago: 30m, 2h, 7d.", "Written before so long ago."
_STATES, _CHANNELS = click.Choice([one.value for one in MessageState]), click.Choice([one.value for one in Channel])
_TEXT = Checked(Line(40), name="text")
_OPTIONS = (
    click.option("--delivery", type=_TEXT, help="About one delivery: its id or tracking number."),
    click.option("--state", "states", type=_STATES, multiple=True, help="In this state; may be repeated."),
    click.option("--channel", type=_CHANNELS, help="Of this channel."),
    click.option("--event", type=_TEXT, help="That tell of this, such as delivered."),
    click.option("--audience", type=_TEXT, help="To sender, recipient, account ..."),
    click.option("--since", type=_AGE, help=_SINCE),
    click.option("--until", type=_AGE, help=_UNTIL),
)


def choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose messages, as a Filter `chosen`: None when none of them was given."""

    @wraps(command)
    def run(**options: Any) -> Any:
        given = {name: options.pop(name) for name in _CHOOSING}
        return command(chosen=_filter(**given) if any(given.values()) else None, **options)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def _filter(*, delivery: str | None, since: timedelta | None, until: timedelta | None, **same: Any) -> Filter:
    return Filter(
        delivery_id=_delivery_id(delivery) if delivery else None,
        state=same.pop("states"),
        since=_ago(since),
        until=_ago(until),
        **same,
    )


def _ago(age: timedelta | None) -> datetime | None:
    return None if age is None else clock.now() - age


def _delivery_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        found: UUID | None = current_app.extensions[_KEY](text)
    if found is None:
        raise NotFound(f"There is no delivery {text}.")
    return found
