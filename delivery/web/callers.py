"""Who asks, and may they: the decorators that come first, so that 401, 403 and 404 precede any look at the body."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

from flask import Flask, current_app, g, request

from delivery.errors import Forbidden, Unauthorized
from delivery.web import throttle
from delivery.web.body import check_query
from delivery.web.rules import Mode, Policy, Rule

View = TypeVar("View", bound=Callable[..., Any])
_IDENTIFY, _POLICY = "delivery.identify", "delivery.policy"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts: the person behind a request, or nobody in person (`cli`, `system`).

    `scopes` limits an API key (`api_key`); a person who is signed in has none and needs none. `test`: by a test key.
    """

    id: UUID | None
    role: str
    session_id: UUID | None = None
    kind: str = "user"
    key_id: UUID | None = None
    scopes: frozenset[str] | None = None
    test: bool = False

    def shares_mode_of(self, row: Any) -> bool:
        """Tell whether a row with a column `test` is of the caller's world: a test key's, or everybody else's."""
        return bool(row.test) == self.test


# A process of ours, when nobody in person acts.
SYSTEM = Caller(id=None, role="admin", kind="system")
Identify = Callable[[str], Caller]


def init_app(app: Flask, identify: Identify, policy: Policy) -> None:
    """Give the app its way to turn an Authorization header into a caller, and its table of who may call what."""
    app.extensions[_IDENTIFY] = identify
    app.extensions[_POLICY] = policy


def caller() -> Caller:
    """Return the caller of this request; only views that are `signed_in` have one."""
    found: Caller = g.caller
    return found


def rule() -> Rule:
    """Return the policy's row of this request's endpoint.

    Raises:
        KeyError: it has none; tests/test_policy.py does not let that happen.
    """
    return policy_of(current_app)[request.endpoint or ""]


def policy_of(app: Flask) -> Policy:
    """Return an app's table of who may call what."""
    policy: Policy = app.extensions[_POLICY]
    return policy


def signed_in(view: View) -> View:
    """Require valid credentials, and a role and scope that the policy lets in."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        g.caller = _identified(request.headers.get("Authorization", ""))
        check_query()
        return view(*args, **kwargs)

    wrapper.access = "signed_in"  # type: ignore[attr-defined]  # test_architecture.py reads it
    return wrapper  # type: ignore[return-value]


def public(view: View) -> View:
    """Let everybody in and ask nobody: whoever sends an expired token may still sign in."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        g.caller = None
        _count_nobody()
        check_query()
        return view(*args, **kwargs)

    return _needing_nobody(wrapper)  # type: ignore[return-value]


def signed_in_or_not(view: View) -> View:
    """Let everybody in; credentials, when they are sent, must be valid, and say who asks."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        header = request.headers.get("Authorization", "")
        if header.lower().startswith("bearer "):
            g.caller = _identified(header)
        else:
            g.caller = None
            _count_nobody()
        check_query()
        return view(*args, **kwargs)

    return _needing_nobody(wrapper)  # type: ignore[return-value]


def _needing_nobody(view: View) -> View:
    view.access = "public"  # type: ignore[attr-defined]
    view.__dict__.setdefault("_apidoc", {}).setdefault("manual_doc", {})["security"] = []
    return view


def _count_nobody() -> None:
    """Count a request that nobody has signed in for."""
    if rule().limited:
        throttle.count_address()


def _identified(header: str) -> Caller:
    found = _counted(header)
    asked = rule()
    if (Mode.TEST if found.test else Mode.LIVE) not in asked.modes:
        raise _wrong_mode(test=found.test)
    if found.scopes is not None and asked.scope not in found.scopes:
        raise _insufficient(asked.scope)
    if asked.roles is not None and found.role not in asked.roles:
        raise Forbidden("Your role does not allow this.")
    return found


def _counted(header: str) -> Caller:
    """Return the caller, once the request counts as theirs; refused credentials are nobody's."""
    try:
        found: Caller = current_app.extensions[_IDENTIFY](header)
    except Unauthorized:
        throttle.count_address()
        raise
    if found.id:
        throttle.count_user(found.id)
    return found


def _wrong_mode(*, test: bool) -> Forbidden:
    if test:
        return Forbidden("No test key may do this: it is about what is real.", code="live_only")
    return Forbidden("This needs a test key: POST /api/auth/api-keys with `test`.", code="test_only")


def _insufficient(scope: str | None) -> Forbidden:
    """Build the answer to an API key that may not (RFC 6750, 3.1)."""
    if scope is None:
        return Forbidden("No API key may do this; sign in.", code="insufficient_scope")
    challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
    return Forbidden(f"This needs an API key with the scope {scope}.", code="insufficient_scope", headers=challenge)


def found(access: Callable[..., Any]) -> Callable[[View], View]:
    """Reach the path's object through `access(caller, id, parts)`, and hand what it grants to the view."""

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(**path: UUID) -> Any:
            [object_id] = path.values()
            return view(access(caller(), object_id, rule().parts))

        return wrapper  # type: ignore[return-value]

    return decorate
