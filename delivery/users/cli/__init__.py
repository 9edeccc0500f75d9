"""`flask users`: accounts, from the operator's side."""

from delivery.users.cli import changing, finding, making, opting
from delivery.users.cli.group import EMAIL, ROLES, WHO, find, group

__all__ = ["EMAIL", "ROLES", "WHO", "changing", "find", "finding", "group", "making", "opting"]
