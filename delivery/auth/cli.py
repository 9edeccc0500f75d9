"""`flask users`, with what needs more than the accounts themselves."""

import click
from sqlalchemy import select

from delivery.auth import api_keys
from delivery.cli import examples, json_option, print_json
from delivery.database import db, transaction
from delivery.errors import NotFound
from delivery.users.cli import EMAIL, group
from delivery.users.models import User

__all__ = ["group", "revoke_keys"]


@group.command(
    "revoke-keys",
    epilog=examples("flask users revoke-keys ada@example.com", "flask users revoke-keys ada@example.com --json"),
)
@click.argument("email", type=EMAIL)
@json_option
def revoke_keys(email: str, *, as_json: bool) -> None:
    """End all API keys of an account at once.

    Exit code 1 when there is no such account.
    """
    with transaction():
        user_id = db.session.execute(select(User.id).where(User.email == email)).scalar_one_or_none()
        if user_id is None:
            raise NotFound("There is no account with this address.")
        revoked = api_keys.revoke_all(user_id)
    if as_json:
        print_json({"revoked": revoked})
    else:
        click.echo(f"Revoked {revoked} API keys of {email}.")
