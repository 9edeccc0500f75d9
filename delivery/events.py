"""Facts and their reactions: publish() runs them inside the current transaction."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Flask, current_app

Reaction = Callable[[Any], None]
_KEY = "delivery.reactions"


def init_app(app: Flask, reactions: Mapping[type, Sequence[Reaction]]) -> None:
    """Give the app its table: which fact wakes which reactions."""
    app.extensions[_KEY] = reactions


def publish(fact: object) -> None:
    """Run the reactions to a fact; what they write commits or vanishes with the change itself.

    Raises:
        KeyError: the table does not know this kind of fact, not even with no reactions.
    """
    for reaction in current_app.extensions[_KEY][type(fact)]:
        reaction(fact)
