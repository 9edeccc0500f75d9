"""`flask webhooks`: endpoints, from the operator's side. They show no secret but a new one, once."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import click
from marshmallow import ValidationError
from sqlalchemy import Row

from delivery.cli import (
    CLI,
    Checked,
    Group,
    dry_run_option,
    examples,
    json_option,
    print_json,
    print_table,
    rehearsable,
    shown,
)
from delivery.database import reader, transaction
from delivery.errors import Conflict, NotFound
from delivery.notifications.channels.public_addresses import LONGEST_URL
from delivery.users.cli import EMAIL, WHO, find
from delivery.web import ANY_VERSION, Line, Time
from delivery.webhooks import services
from delivery.webhooks.queries import ENDPOINT_BY_ID, endpoints
from delivery.webhooks.replaying import replay
from delivery.webhooks.schemas import endpoint_out, sendable
from delivery.webhooks.states import EVENT_TYPES, EVERYTHING, DisabledReason

F = TypeVar("F", bound=Callable[..., Any])
group = Group("webhooks", help="Endpoints of webhooks: list, make, disable, replay.")

_ID = "0198f3a2-7c1e-7d3b-9f57-0c6f2a9b4e11"
_MOMENT = Checked(Time(), name="time")
_LISTED = ("id", "owner_id", "test", "status", "url", "failing_since")
_types = click.option(
    "--event", "events", type=click.Choice(EVENT_TYPES), multiple=True, help="Only this type of event."
)


def _endpoint_argument(command: F) -> F:
    return click.argument("endpoint_id", metavar="ID", type=click.UUID)(command)


@group.command("list", epilog=examples("flask webhooks list", "flask webhooks list --owner ada@example.com --json"))
@click.option("--owner", type=WHO, help="Address or id of the account whose they are.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
def list_endpoints(owner: str | None, limit: int, *, as_json: bool) -> None:
    """List endpoints, the newest first."""
    rows = endpoints(find(owner).id if owner else None, limit=limit)
    if as_json:
        print_json([_public(row) for row in rows])
        return
    print_table([{name: getattr(row, name) for name in _LISTED} for row in rows], empty="There are no endpoints.")


@group.command(
    "create",
    epilog=examples(
        "flask webhooks create ada@example.com https://shop.example/hooks",
        "flask webhooks create ada@example.com https://shop.example/hooks --event delivery.delivered",
    ),
)
@click.argument("owner", metavar="EMAIL", type=EMAIL)
@click.argument("url", type=Checked(Line(LONGEST_URL), name="url"))
@_types
@click.option("--description", type=Checked(Line(200), name="text"), help="What it is for.")
@click.option("--all-deliveries", is_flag=True, help="Of everybody's deliveries; the account must be an admin's.")
@json_option
def create(
    owner: str, url: str, events: Sequence[str], description: str | None, *, all_deliveries: bool, as_json: bool
) -> None:
    """Make an endpoint of an account and send it a challenge; prints its secret, this once.

    Exit code 1 when there is no such account, or it has ten already.
    """
    try:
        sendable(url)
    except ValidationError as error:
        raise click.BadParameter(" ".join(map(str, error.messages)), param_hint="URL") from None
    account = find(owner)
    with transaction():
        made, secret = services.create(
            CLI,
            owner_id=account.id,
            url=url,
            description=description,
            events=events or (EVERYTHING,),
            all_deliveries=all_deliveries,
        )
    _print_with_secret(made, secret, as_json=as_json)


@group.command("show", epilog=examples(f"flask webhooks show {_ID}"))
@_endpoint_argument
@json_option
def show(endpoint_id: UUID, *, as_json: bool) -> None:
    """Show an endpoint; what was sent to it is in `flask notifications list --channel webhook`."""
    body = _public(_find(endpoint_id))
    if as_json:
        print_json(body)
        return
    for name, value in body.items():
        click.echo(f"{name.replace('_', ' '):<18}{shown(value)}")


@group.command("enable", epilog=examples(f"flask webhooks enable {_ID}"))
@_endpoint_argument
@json_option
def enable(endpoint_id: UUID, *, as_json: bool) -> None:
    """Enable a disabled endpoint: it is sent a challenge, and events when it has answered.

    Exit code 1 when it is not disabled.
    """
    with transaction():
        changed = services.enable(_find(endpoint_id))
    _print_changed(changed, as_json=as_json)


@group.command("disable", epilog=examples(f"flask webhooks disable {_ID}"))
@_endpoint_argument
@json_option
def disable(endpoint_id: UUID, *, as_json: bool) -> None:
    """Tell an endpoint nothing any more; what is queued for it is not sent.

    Exit code 1 when it is disabled already.
    """
    _find(endpoint_id)
    with transaction():
        changed = services.disable(endpoint_id, reason=DisabledReason.BY_OPERATOR)
    if changed is None:
        raise Conflict("It is disabled already.")
    _print_changed(changed, as_json=as_json)


@group.command("rotate-secret", epilog=examples(f"flask webhooks rotate-secret {_ID}"))
@_endpoint_argument
@json_option
def rotate_secret(endpoint_id: UUID, *, as_json: bool) -> None:
    """Give an endpoint a new secret and print it, this once; for 24 hours the old one signs, too."""
    with transaction():
        changed, secret = services.rotate(_find(endpoint_id), expected=ANY_VERSION)
    _print_with_secret(changed, secret, as_json=as_json)


@group.command("test", epilog=examples(f"flask webhooks test {_ID}"))
@_endpoint_argument
@json_option
def test(endpoint_id: UUID, *, as_json: bool) -> None:
    """Send an endpoint an event of the type `endpoint.test`. Exit code 1 when it is not active."""
    endpoint = _find(endpoint_id)
    with transaction():
        services.send_test(endpoint)
    _print_changed(endpoint, as_json=as_json, said="A test event is on its way.")


@group.command(
    "replay",
    epilog=examples(
        f"flask webhooks replay {_ID} --since 2026-11-20T08:00:00Z --dry-run",
        f"flask webhooks replay {_ID} --since 2026-11-20T08:00:00Z --event delivery.delivered",
    ),
)
@_endpoint_argument
@click.option("--since", type=_MOMENT, required=True, help="Within the last 30 days.")
@click.option("--until", type=_MOMENT, help="Now, when not given.")
@_types
@dry_run_option
@json_option
def replay_range(
    endpoint_id: UUID, since: datetime, until: datetime | None, events: Sequence[str], *, dry_run: bool, as_json: bool
) -> None:
    """Send an endpoint a range of events again, as new messages, and those that were never written.

    In batches of 500, each a transaction. What is on its way is left alone. Exit code 1 when it is not active.
    """
    endpoint = _find(endpoint_id)
    repeated = made = 0
    after, more = None, True
    while more:
        with rehearsable(dry_run=dry_run):
            done = replay(endpoint, since=since, until=until, events=events, after=after)
        after, more = done.position, done.position is not None
        repeated, made = repeated + done.repeated, made + done.made
    if as_json:
        print_json({"dry_run": dry_run, "repeated": repeated, "made": made})
        return
    verb = "Would send" if dry_run else "Sending"
    click.echo(f"{verb} {repeated} events again, and {made} for the first time.")


def _find(endpoint_id: UUID) -> Row[Any]:
    row = reader().execute(ENDPOINT_BY_ID, {"id": endpoint_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such endpoint.")
    return row


def _public(row: Any) -> dict[str, Any]:
    return {**endpoint_out(row), "owner_id": row.owner_id}


def _print_changed(row: Any, *, as_json: bool, said: str | None = None) -> None:
    if as_json:
        print_json(_public(row))
    else:
        click.echo(said or f"The endpoint is {row.status}.")


def _print_with_secret(row: Any, secret: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**_public(row), "secret": secret})
        return
    click.echo(f"Endpoint {row.id}, {row.status}")
    click.echo(f"Secret   {secret}  (shown only now)")
