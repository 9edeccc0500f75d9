"""What a row of the policy says: which roles, which scope of an API key, and what one must be to the object."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """Whose world a call is about: what is real, or what a test key has made."""

    LIVE = "live"
    TEST = "test"


LIVE, TESTS, BOTH = frozenset({Mode.LIVE}), frozenset({Mode.TEST}), frozenset(Mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may call an endpoint.

    `roles`: None for every role. `scope`: what an API key must have; None keeps all keys out, since some things only a
    person does. `parts`: for an endpoint about one object, what the caller must be to it; whoever is nothing to it
    does not see that it exists. `public`: nobody has to sign in. `limited`: the general limits count it. `operators`:
    nobody signs in, and the view itself asks for a secret of those who run this. `modes`: which callers' data it keeps
    apart, and so whom it lets in. What says nothing is about live data, and test keys stay out.
    """

    roles: frozenset[str] | None = None
    scope: str | None = None
    parts: frozenset[str] = frozenset()
    public: bool = False
    limited: bool = True
    operators: bool = False
    modes: frozenset[Mode] = LIVE


Policy = Mapping[str, Rule]  # by endpoint, as Flask names it


def public(*, scope: str | None = None) -> Rule:
    """Let everybody in; `scope` is for a key that is sent all the same."""
    return Rule(public=True, scope=scope)


def unlimited() -> Rule:
    """Let everybody in, however often they ask."""
    return Rule(public=True, limited=False)


def operators() -> Rule:
    """Let in the machines of those who run this; the view asks for their secret."""
    return Rule(public=True, limited=False, operators=True)


def signed_in(*, scope: str | None = None, roles: Iterable[str] | None = None, modes: frozenset[Mode] = LIVE) -> Rule:
    """Let in whoever is signed in, or has one of the roles."""
    return Rule(scope=scope, roles=None if roles is None else frozenset(roles), modes=modes)


def of_object(*parts: str, scope: str | None = None, modes: frozenset[Mode] = LIVE) -> Rule:
    """Let in whoever is one of these to the object that the path names."""
    return Rule(scope=scope, parts=frozenset(parts), modes=modes)
