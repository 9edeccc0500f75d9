"""Facts and their reactions: publish() runs them inside the current transaction."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Flask, current_app

# It is given facts of one kind, all that are published together: what it writes, it writes in a few statements.
Reaction = Callable[[Sequence[Any]], None]
_KEY = "delivery.reactions"


def init_app(app: Flask, reactions: Mapping[type, Sequence[Reaction]]) -> None:
    """Give the app its table: which fact wakes which reactions."""
    app.extensions[_KEY] = reactions


def publish(fact: object) -> None:
    """Run the reactions to a fact; what they write commits or vanishes with the change itself.

    Raises:
        KeyError: the table does not know this kind of fact, not even with no reactions.
    """
    publish_all([fact])


def publish_all(facts: Sequence[object]) -> None:
    """Run the reactions to facts of one kind, each once for all of them."""
    if facts:
        for reaction in current_app.extensions[_KEY][type(facts[0])]:
            reaction(facts)


def for_each(reaction: Callable[[Any], None]) -> Reaction:
    """Return a reaction to many facts that takes them one by one."""

    def react(facts: Sequence[Any]) -> None:
        for fact in facts:
            reaction(fact)

    return react
