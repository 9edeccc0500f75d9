"""`flask notifications`: see what was sent and what was not, and send it once more.

No command shows an address: the outbox holds none.
"""

from delivery.notifications.cli import asking, holding, looking, sending
from delivery.notifications.cli.choosing import init_app
from delivery.notifications.cli.group import group

__all__ = ["asking", "group", "holding", "init_app", "looking", "sending"]
