"""`flask notifications hold` and `release`: keep every message in the outbox, and let them go."""

import click

from delivery.cli import examples, json_option, print_json
from delivery.database import transaction
from delivery.errors import Conflict
from delivery.notifications import alarm, holding
from delivery.notifications.cli.group import group
from delivery.notifications.states import Channel

CHUNK = 500


@group.command(
    "hold",
    epilog=examples('flask notifications hold --reason "the mail server moves"', "flask notifications hold --json"),
)
@click.option("--reason", default="by command", show_default=True, help="For whoever asks why nothing is sent.")
@json_option
def hold(*, reason: str, as_json: bool) -> None:
    """Send nothing from now on, by no channel, until `flask notifications release`.

    Messages are still written, and wait. What a worker has in hand at this moment is still sent. A restored database
    begins like this.
    """
    with transaction():
        kept = holding.hold(reason)
    if as_json:
        print_json({"held": True, "reason": kept})
    else:
        click.echo("Messages are held; `flask notifications release` lets them go.")


@group.command(
    "release",
    epilog=examples("flask notifications release", "flask notifications release --keep-back --json"),
)
@click.option(
    "--keep-back", is_flag=True, help="Make what waited before the hold, and must not come twice, uncertain instead."
)
@json_option
def release(*, keep_back: bool, as_json: bool) -> None:
    """Send again. Exit code 1: nothing was held.

    After a restore, what waited in the backup may have been sent since. With --keep-back such mails about deliveries
    and text messages become uncertain, and `flask notifications resend --state uncertain` sends those that a person
    chooses. Webhooks and mails about an account go out: they may come twice.
    """
    if holding.standing() is None:
        raise Conflict("Nothing is held.")
    kept = _keep_back() if keep_back else 0
    with transaction():
        holding.release()
    for channel in Channel:
        alarm.wake(channel)
    if as_json:
        print_json({"held": False, "kept_back": kept})
    else:
        click.echo(f"Messages are sent again; {kept or 'none'} kept back as uncertain.")


def _keep_back() -> int:
    kept, batch = 0, CHUNK
    while batch == CHUNK:
        with transaction():
            batch = holding.keep_back(CHUNK)
        kept += batch
    return kept
