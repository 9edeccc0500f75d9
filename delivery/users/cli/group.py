"""The group that the commands beside it join, and how they are told whom it is about."""

from typing import Any
from uuid import UUID

import click
from sqlalchemy import Row

from delivery.cli import Checked, Group
from delivery.errors import NotFound
from delivery.users.queries import by_email, by_id
from delivery.users.schemas import Email, folded
from delivery.users.states import Role
from delivery.web import Line

group = Group("users", help="Accounts: make, find and change them; end their access.")

ROLES = click.Choice([str(role) for role in Role])
EMAIL = Checked(Email(), name="email")
WHO = Checked(Line(254), name="text")


def find(who: str) -> Row[Any]:
    """Return the account with this address or id.

    Raises:
        NotFound: there is none.
    """
    try:
        row = by_id(UUID(who))
    except ValueError:
        row = _by_address(who)
    if row is None:
        raise NotFound(f"There is no account {who}.")
    return row


def _by_address(text: str) -> Row[Any] | None:
    try:
        return by_email(folded(text))
    except UnicodeError:  # mail cannot go there
        return None
