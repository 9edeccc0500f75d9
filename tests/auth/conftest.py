"""A mailbox: what the outbox sends, and the links in it."""

import pytest

from delivery import notifications
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.jobs import deliver
from delivery.notifications.states import Channel
from delivery.subscriptions import COMPOSERS
from tests.auth.links import token_of


@pytest.fixture
def mailbox(app):
    """Send what waits in the outbox and return the letters."""
    transport = MemoryTransport()
    notifications.init_app(app, COMPOSERS, transports=dict.fromkeys(Channel, transport))

    def letters():
        with app.app_context():
            deliver(Channel.MAIL, seconds=5)
        sent, transport.sent = transport.sent, []
        return [letter for _, letter in sent]

    return letters


@pytest.fixture
def mailed(mailbox):
    """The token of the one link that is in the mailbox now."""

    def token():
        [letter] = mailbox()
        return token_of(letter)

    return token
