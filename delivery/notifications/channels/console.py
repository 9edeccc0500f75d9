"""The console: prints letters where no provider is configured."""

import sys
from uuid import UUID

from delivery.notifications.channels import Letter

_RULE = "-" * 72


class ConsoleTransport:
    """Prints each letter as one block, in one write, so that two processes do not interleave their lines."""

    name = "console"
    hand_off_size = 10
    concurrency = 1

    def __init__(self, channel: str) -> None:
        self._channel = channel

    def open(self) -> None:
        """Nothing to connect to."""

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        sys.stdout.write(self._block(message_id, letter))
        sys.stdout.flush()
        return None

    def close(self) -> None:
        """Nothing to disconnect from."""

    def _block(self, message_id: UUID, letter: Letter) -> str:
        head = [f"{self._channel} to {letter.address}  ({message_id})"]
        if letter.subject:
            head.append(f"Subject: {letter.subject}")
        return _printable("\n".join(["", _RULE, *head, "", letter.text.rstrip(), _RULE, "", ""]))


def _printable(text: str) -> str:
    """Leave a terminal nothing to obey: names come from strangers."""
    return "".join(one if one == "\n" or one.isprintable() else "?" for one in text)
