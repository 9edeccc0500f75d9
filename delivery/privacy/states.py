"""Who can be erased; plain Python."""

from enum import StrEnum


class Kind(StrEnum):
    """user: somebody with an account; recipient: whoever has an address or number that deliveries go to."""

    USER = "user"
    RECIPIENT = "recipient"
