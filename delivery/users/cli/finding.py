"""`flask users`: who there is."""

from typing import Any

import click

from delivery.cli import Checked, examples, json_option, print_json, print_table, shown
from delivery.users.cli.group import ROLES, WHO, find, group
from delivery.users.queries import users
from delivery.users.schemas import user_out
from delivery.users.states import Role
from delivery.web import Line

_SHOWN = ("email", "name", "role", "active", "created_at")


@group.command(
    "list",
    epilog=examples(
        "flask users list --role courier",
        "flask users list --role admin --inactive",
        "flask users list --search ada --json",
    ),
)
@click.option("--role", type=ROLES, help="Only these.")
@click.option("--active/--inactive", "active", default=None, help="Only those who may sign in, or may not.")
@click.option("--search", type=Checked(Line(100), name="text"), help="Part of the name or the address.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@json_option
def list_users(role: str | None, search: str | None, limit: int, *, active: bool | None, as_json: bool) -> None:
    """List accounts, the newest first."""
    rows = users(role=Role(role) if role else None, q=search, active=active, after=None, limit=limit)
    if as_json:
        print_json([user_out(row) for row in rows])
        return
    print_table([{name: getattr(row, name) for name in _SHOWN} for row in rows], empty="There are no such accounts.")
    if len(rows) == limit:
        click.echo(f"There may be more than {limit}; see --limit.", err=True)


@group.command(
    "show",
    epilog=examples("flask users show ada@example.com", "flask users show 01890a5d-ac96-774b-bcce-b302099a8057 --json"),
)
@click.argument("who", metavar="EMAIL|ID", type=WHO)
@json_option
def show(who: str, *, as_json: bool) -> None:
    """Show an account, by its address or id; what was done to it is in `flask audit list --object ID`."""
    body: dict[str, Any] = user_out(find(who))
    if as_json:
        print_json(body)
        return
    for name, value in body.items():
        click.echo(f"{name.replace('_', ' '):<19}{shown(value)}")
