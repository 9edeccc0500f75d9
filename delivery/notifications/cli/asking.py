"""`flask notifications reconcile`: ask the provider what nobody here can tell."""

import click

from delivery.cli import examples, json_option, print_json, print_table
from delivery.notifications import reconciling
from delivery.notifications.channels import Unreachable
from delivery.notifications.cli.group import group


@group.command(epilog=examples("flask notifications reconcile", "flask notifications reconcile --json"))
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@json_option
def reconcile(*, limit: int, as_json: bool) -> None:
    """Ask Twilio what became of uncertain text messages, the newest first; nothing is sent.

    `flask cron` does so by itself, once, a minute after each became uncertain. What Twilio does not know, or knows
    twice, stays so: `resend` it if telling twice is better than never. Exit code 1: Twilio cannot be asked now.
    """
    try:
        states = reconciling.reconcile_again(limit)
    except Unreachable as error:
        raise click.ClickException(f"The provider cannot be asked now ({error.error_class}).") from error
    rows = [{"id": message_id, "state": state} for message_id, state in states.items()]
    if as_json:
        print_json(rows)
        return
    print_table(rows, empty="None is uncertain.")
