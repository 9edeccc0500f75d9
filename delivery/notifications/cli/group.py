"""The group that the commands beside it join."""

from delivery.cli import Group

group = Group("notifications", help="See what was sent and what was not, and send it once more.")
