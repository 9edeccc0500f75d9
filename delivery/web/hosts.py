"""Which Host a request may name: those of TRUSTED_HOSTS, and where machines watch an address will do."""

import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from flask import Flask

# Prometheus, kubelets and load balancers find instances by address, and not all can be taught a name.
WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?")


def init_app(app: Flask) -> None:
    """Let who watches ask by address, whichever addresses this machine has."""
    if names := app.config["TRUSTED_HOSTS"]:
        app.wsgi_app = _ByAddress(app.wsgi_app, name=names[0].removeprefix("."))  # type: ignore[method-assign]


class _ByAddress:
    """Takes an address for our name where one may watch.

    A name that is not ours is refused there, too: a page may have its name lead to this machine (DNS rebinding), and
    read what is meant for whoever runs it. With an address that cannot be done.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], *, name: str) -> None:
        self._app, self._name = app, name

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] in WATCHED and is_address(environ.get("HTTP_HOST", "")):
            environ["HTTP_HOST"] = self._name
        return self._app(environ, start_response)


def is_address(host: str) -> bool:
    """Tell whether a Host header is an IP address, perhaps with a port."""
    found = _ADDRESS.fullmatch(host)
    try:
        return found is not None and bool(ip_address(found["six"] or found["four"]))
    except ValueError:
        return False
