"""`flask users`, with what needs more than the accounts themselves."""

import click

from delivery.auth import api_keys, invitations, recovery
from delivery.cli import Checked, dry_run_option, examples, json_option, print_json, rehearsable
from delivery.database import transaction
from delivery.errors import Conflict
from delivery.users.cli import EMAIL, ROLES, WHO, find, group
from delivery.users.schemas import user_out
from delivery.users.states import Role
from delivery.web import Line

__all__ = ["group", "invite", "revoke_keys", "send_reset"]


@group.command(
    "invite",
    epilog=examples(
        "flask users invite max@example.com --role courier",
        'flask users invite max@example.com --role courier --name "Max Wheel" --dry-run',
    ),
)
@click.argument("email", type=EMAIL)
@click.option("--role", type=ROLES, default=Role.CUSTOMER.value, show_default=True)
@click.option("--name", type=Checked(Line(200), name="name"), help="For the greeting of the mail.")
@dry_run_option
@json_option
def invite(email: str, role: str, name: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Mail a link to EMAIL by which its owner makes an account, within seven days.

    An older invitation of the same address ends. Exit code 1 when the address has an account.
    """
    with rehearsable(dry_run=dry_run):
        made = invitations.invite(email=email, role=Role(role), name=name)
    if as_json:
        print_json({"dry_run": dry_run, "invitation": invitations.shown(made)})
        return
    click.echo(f"{'Would invite' if dry_run else 'Invited'} {email} as {role}.")


@group.command(
    "send-reset",
    epilog=examples("flask users send-reset ada@example.com", "flask users send-reset ada@example.com --dry-run"),
)
@click.argument("who", metavar="EMAIL|ID", type=WHO)
@dry_run_option
@json_option
def send_reset(who: str, *, dry_run: bool, as_json: bool) -> None:
    """Mail the owner of an account a link to choose a new password; older ones of these links are dead.

    Exit code 1 when the account is not active.
    """
    owner = find(who)
    if not owner.active:
        raise Conflict(f"{owner.email} may not sign in; see `flask users activate`.")
    with rehearsable(dry_run=dry_run):
        recovery.request_reset(owner.email)
    if as_json:
        print_json({"dry_run": dry_run, "user": user_out(owner)})
        return
    click.echo(f"{'Would send' if dry_run else 'Sent'} {owner.email} a link to choose a new password.")


@group.command(
    "revoke-keys",
    epilog=examples("flask users revoke-keys ada@example.com", "flask users revoke-keys ada@example.com --json"),
)
@click.argument("who", metavar="EMAIL|ID", type=WHO)
@json_option
def revoke_keys(who: str, *, as_json: bool) -> None:
    """End all API keys of an account at once.

    Exit code 1 when there is no such account.
    """
    owner = find(who)
    with transaction():
        revoked = api_keys.revoke_all(owner.id)
    if as_json:
        print_json({"revoked": revoked})
    else:
        click.echo(f"Revoked {revoked} API keys of {owner.email}.")
