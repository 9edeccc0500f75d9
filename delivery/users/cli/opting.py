"""`flask notifications opt-out|opt-in|opted-out`: for whoever asks by telephone or letter.

They stand here because an address is read as accounts read theirs.
"""

from collections.abc import Callable
from typing import Any

import click

from delivery import audit
from delivery.cli import Checked, examples, json_option, print_json, print_table
from delivery.database import transaction
from delivery.notifications import opt_outs
from delivery.notifications.cli import group
from delivery.notifications.states import Channel
from delivery.users.cli.group import EMAIL
from delivery.users.schemas import Phone

_email = click.option("--email", type=EMAIL, help="An address, for mail.")
_phone = click.option("--phone", type=Checked(Phone(), name="phone"), help="A number, for text messages.")


@group.command("opt-out", epilog=examples("flask notifications opt-out --email grace@home.example"))
@_email
@_phone
def opt_out(email: str | None, phone: str | None) -> None:
    """Send no more news of deliveries to an address or number.

    Mails about an account still go there.
    """
    _change(opt_outs.opt_out, "opted_out", email=email, phone=phone)
    click.echo("No more news of deliveries go there.")


@group.command("opt-in", epilog=examples("flask notifications opt-in --phone +442079460000"))
@_email
@_phone
def opt_in(email: str | None, phone: str | None) -> None:
    """Send news of deliveries to an address or number again."""
    _change(opt_outs.opt_in, "opted_in", email=email, phone=phone)
    click.echo("News of deliveries go there.")


@group.command(
    "opted-out",
    epilog=examples(
        "flask notifications opted-out --email grace@home.example",
        "flask notifications opted-out --phone +442079460000 --json",
    ),
)
@_email
@_phone
@json_option
def opted_out(*, email: str | None, phone: str | None, as_json: bool) -> None:
    """Show when an address or number wanted no news of deliveries, and how it said so; only a hash of it is kept."""
    _given(email, phone)
    rows = [dict(row._mapping) for row in opt_outs.opt_outs_of(email=email, phone=phone)]  # noqa: SLF001
    if as_json:
        print_json(rows)
        return
    print_table([{name: row[name] for name in row if name != "id"} for row in rows], empty="It never opted out.")


def _change(change: Callable[[str, str, str], bool], verb: str, *, email: str | None, phone: str | None) -> None:
    with transaction():
        for channel, address in _given(email, phone):
            if change(channel, address, "cli"):
                hashed = opt_outs.address_hash(channel, address).hex()
                audit.record(f"address.{verb}", channel=channel, address_hash=hashed)


def _given(email: str | None, phone: str | None) -> list[tuple[Any, str]]:
    given = [(channel, one) for channel, one in ((Channel.MAIL, email), (Channel.SMS, phone)) if one]
    if not given:
        raise click.UsageError("Give --email, --phone or both.")
    return given
