"""Who asks: the decorators that come first, so that 401, 403 and 404 precede any look at the body."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

from flask import Flask, current_app, g, request

from delivery.errors import Forbidden

View = TypeVar("View", bound=Callable[..., Any])
_KEY = "delivery.identify"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts: the person behind a request, or nobody in person (`cli`, `system`)."""

    id: UUID | None
    role: str
    session_id: UUID | None = None
    kind: str = "user"


Identify = Callable[[str], Caller]


def init_app(app: Flask, identify: Identify) -> None:
    """Give the app its way to turn an Authorization header into a caller; it raises Unauthorized."""
    app.extensions[_KEY] = identify


def caller() -> Caller:
    """Return the caller of this request; only views that are `signed_in` have one."""
    found: Caller = g.caller
    return found


def signed_in(view: View) -> View:
    """Require a valid access token."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        g.caller = current_app.extensions[_KEY](request.headers.get("Authorization", ""))
        return view(*args, **kwargs)

    wrapper.access = "signed_in"  # type: ignore[attr-defined]  # test_architecture.py reads it
    return wrapper  # type: ignore[return-value]


def public(view: View) -> View:
    """Let everybody in and ask nobody: whoever sends an expired token may still sign in."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        g.caller = None
        return view(*args, **kwargs)

    return _needing_nobody(wrapper)  # type: ignore[return-value]


def signed_in_or_not(view: View) -> View:
    """Let everybody in; a bearer token, when one is sent, must be valid, and says who asks."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        header = request.headers.get("Authorization", "")
        g.caller = current_app.extensions[_KEY](header) if header.lower().startswith("bearer ") else None
        return view(*args, **kwargs)

    return _needing_nobody(wrapper)  # type: ignore[return-value]


def _needing_nobody(view: View) -> View:
    view.access = "public"  # type: ignore[attr-defined]
    view.__dict__.setdefault("_apidoc", {}).setdefault("manual_doc", {})["security"] = []
    return view


def for_roles(*roles: str) -> Callable[[View], View]:
    """Allow only these roles; comes below signed_in."""

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if caller().role not in roles:
                raise Forbidden("Your role does not allow this.")
            return view(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate


def found(access: Callable[..., Any], action: str) -> Callable[[View], View]:
    """Reach the path's object through `access(caller, id, action)`, and hand what it grants to the view."""

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(**path: UUID) -> Any:
            [object_id] = path.values()
            return view(access(caller(), object_id, action))

        return wrapper  # type: ignore[return-value]

    return decorate
