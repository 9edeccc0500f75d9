"""`flask users`: make admins, and believable people to try things with."""

import secrets
import sys
from typing import Any

import click

from delivery.cli import (
    Checked,
    confirm_in_production,
    examples,
    in_batches,
    json_option,
    print_json,
    progress,
    yes_option,
)
from delivery.database import transaction
from delivery.users import passwords, seeding, services
from delivery.users.cli.group import EMAIL, ROLES, group
from delivery.users.schemas import Password, user_out
from delivery.users.states import Role
from delivery.web import Line

PASSWORD = Checked(Password(), name="password")
# Users of one statement; each has a dozen values, and SQLite takes 32,766.
_BATCH = 500


@group.command(
    "create-admin",
    epilog=examples(
        "flask users create-admin --email ada@example.com",
        'flask users create-admin --email ada@example.com --name "Ada Shop" --generate',
        "flask users create-admin --email ada@example.com --json < password.txt",
    ),
)
@click.option("--email", type=EMAIL, required=True, help="Address to sign in with.")
@click.option("--name", type=Checked(Line(200), name="name"), default="Admin", show_default=True)
@click.option("--password", type=PASSWORD, help="Others on this machine can see it: better type it when asked.")
@click.option("--generate", is_flag=True, help="Make a password and print it, once.")
@json_option
def create_admin(email: str, name: str, password: str | None, *, generate: bool, as_json: bool) -> None:
    """Add an admin, who can do everything.

    The password is asked for, or read from standard input; --generate makes one. Exit code 1 when the address is
    taken or the password too easy to guess.
    """
    if password and generate:
        raise click.UsageError("Give --password or --generate, not both.")
    chosen = seeding.new_password() if generate else password or _ask()
    passwords.check_new(chosen, own=(email, name))
    password_hash = passwords.hash_password(chosen)
    with transaction():
        user = services.create(email=email, name=name, role=Role.ADMIN, password_hash=password_hash)
    if as_json:
        print_json(user_out(user) | {"password": chosen if generate else None})
        return
    click.echo(f"Added the admin {email}." + (f"\nPassword: {chosen}" if generate else ""))


def _ask() -> str:
    if sys.stdin.isatty():
        answer = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        answer = sys.stdin.readline().rstrip("\r\n")
    if not answer:
        raise click.UsageError("No password: give --password or --generate, or write one to standard input.")
    return str(PASSWORD.convert(answer, None, None))


@group.command(
    "seed",
    epilog=examples(
        "flask users seed",
        "flask users seed --count 10 --role courier",
        "flask users seed --count 5000 --seed 42 --json",
    ),
)
@click.option("--count", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option("--role", type=ROLES, default=Role.CUSTOMER.value, show_default=True)
@click.option("--seed", type=int, help="Number that decides names and addresses; random when not given.")
@click.option("--password", type=PASSWORD, help="Password of all of them; a random one is printed when not given.")
@yes_option
@json_option
def seed(count: int, role: str, seed: int | None, password: str | None, *, yes: bool, as_json: bool) -> None:
    """Add believable people, to try things with.

    Their addresses end in example.com, .net or .org, where nobody gets mail; they are verified and share one password.
    No message is sent. The same --seed and --role give the same people (their ids and times differ), the first ones
    of a larger --count included, so that a second run adds only who is missing. In production it asks first.
    """
    confirm_in_production(f"Add {count} invented {role}s, who can sign in, to the production database?", yes=yes)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    chosen = password or seeding.new_password()
    passwords.check_new(chosen)
    rows = seeding.accounts(count, role=Role(role), seed=seed, password_hash=passwords.hash_password(chosen))
    added = _add(rows, count=count, quiet=as_json)
    said = {"added": added, "already_there": count - added, "role": role, "seed": seed}
    if as_json:
        print_json(said | {"password": None if password else chosen})
        return
    click.echo("Added {added} {role}s (seed {seed}); {already_there} were there already.".format(**said))
    if added and not password:
        click.echo(f"Password of those added: {chosen}")


def _add(rows: Any, *, count: int, quiet: bool) -> int:
    added = 0
    with progress("Adding people", length=count, quiet=quiet) as bar:
        for batch in in_batches(rows, size=_BATCH):
            with transaction():
                added += services.seed(batch)
            bar.update(len(batch))
    return added
