"""`flask users`: what is done to accounts, by the same verbs as in the API."""

from typing import Any

import click
from sqlalchemy import Row

from delivery.cli import dry_run_option, examples, json_option, print_json, rehearsable
from delivery.users import services
from delivery.users.cli.group import ROLES, WHO, find, group
from delivery.users.schemas import user_out
from delivery.web import ANY_VERSION

_who = click.argument("who", metavar="EMAIL|ID", type=WHO)


@group.command(
    "set-role",
    epilog=examples(
        "flask users set-role max@example.com courier", "flask users set-role max@example.com admin --dry-run"
    ),
)
@_who
@click.argument("role", metavar="ROLE", type=ROLES)
@dry_run_option
@json_option
def set_role(who: str, role: str, *, dry_run: bool, as_json: bool) -> None:
    """Give an account another ROLE: customer, courier, dispatcher or admin. Its sessions end.

    Exit code 1 when it is the last admin's.
    """
    seen = find(who)
    changed = _change(seen, dry_run=dry_run, role=role)
    verb = "Would change" if dry_run else "Changed"
    _tell(changed, f"{verb} {seen.email} from {seen.role} to {changed.role}.", dry_run=dry_run, as_json=as_json)


@group.command(
    "deactivate",
    epilog=examples("flask users deactivate ada@example.com", "flask users deactivate ada@example.com --dry-run"),
)
@_who
@dry_run_option
@json_option
def deactivate(who: str, *, dry_run: bool, as_json: bool) -> None:
    """Keep an account from signing in; its sessions and links are dead at once.

    Exit code 1 when it is the last admin's.
    """
    changed = _change(find(who), dry_run=dry_run, active=False)
    verb = "Would deactivate" if dry_run else "Deactivated"
    _tell(changed, f"{verb} {changed.email}.", dry_run=dry_run, as_json=as_json)


@group.command(
    "activate",
    epilog=examples("flask users activate ada@example.com", "flask users activate ada@example.com --dry-run"),
)
@_who
@dry_run_option
@json_option
def activate(who: str, *, dry_run: bool, as_json: bool) -> None:
    """Let an account sign in again."""
    changed = _change(find(who), dry_run=dry_run, active=True)
    verb = "Would activate" if dry_run else "Activated"
    _tell(changed, f"{verb} {changed.email}.", dry_run=dry_run, as_json=as_json)


@group.command(
    "end-sessions",
    epilog=examples("flask users end-sessions ada@example.com", "flask users end-sessions ada@example.com --dry-run"),
)
@_who
@dry_run_option
@json_option
def end_sessions(who: str, *, dry_run: bool, as_json: bool) -> None:
    """End every session and every link of an account, which may sign in again."""
    seen = find(who)
    with rehearsable(dry_run=dry_run):
        services.end_sessions(seen.id)
    verb = "Would end" if dry_run else "Ended"
    _tell(seen, f"{verb} all sessions of {seen.email}.", dry_run=dry_run, as_json=as_json)


@group.command(
    "unlock",
    epilog=examples("flask users unlock ada@example.com", "flask users unlock ada@example.com --dry-run"),
)
@_who
@dry_run_option
@json_option
def unlock(who: str, *, dry_run: bool, as_json: bool) -> None:
    """Forget the failed logins of an account, so that its owner need not wait."""
    seen = find(who)
    with rehearsable(dry_run=dry_run):
        services.unlock(seen.id)
    verb = "Would forget" if dry_run else "Forgot"
    _tell(seen, f"{verb} the failed logins of {seen.email}.", dry_run=dry_run, as_json=as_json)


def _change(seen: Row[Any], *, dry_run: bool, **words: Any) -> Row[Any]:
    with rehearsable(dry_run=dry_run):
        return services.change(seen.id, expected=ANY_VERSION, **words)


def _tell(row: Row[Any], words: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "user": user_out(row)})
    else:
        click.echo(words)
