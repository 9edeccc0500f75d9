"""Who is asking: an API key, or somebody who signs in and whose tokens are renewed in time."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from delivery_client.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

# A token that has so little left could be dead when it arrives.
_MARGIN_SECONDS = 30


class Credentials(Protocol):
    """What makes an Authorization header."""

    def token(self) -> str:
        """Return what to send as the bearer token."""

    def renew(self, refused: str) -> bool:
        """Look for another token than the one that was refused; False when there is none."""


class ApiKey:
    """A key that works until it is revoked."""

    def __init__(self, key: str) -> None:
        self._key = key

    def token(self) -> str:
        return self._key

    def renew(self, refused: str) -> bool:
        return False


class Session:
    """Somebody's session: one for all threads, signed in when first needed.

    Args:
        post: sends a body to a path of the API, without credentials, and returns the answer.
    """

    def __init__(self, post: Callable[[str, dict[str, str]], Any], *, email: str, password: str) -> None:
        self._post = post
        self._account = {"email": email, "password": password}
        self._lock = Lock()
        self._tokens: dict[str, Any] = {}
        self._renew_at = 0.0

    def token(self) -> str:
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._refresh()
            return self._access_token

    def renew(self, refused: str) -> bool:
        with self._lock:
            if self._access_token == refused:  # else another thread was here before
                self._refresh()
        return True

    @property
    def _access_token(self) -> str:
        token: str = self._tokens.get("access_token", "")
        return token

    def _refresh(self) -> None:
        """Trade the refresh token in; sign in where there is none, or where it is of no use any more."""
        refresh_token = self._tokens.pop("refresh_token", None)
        if refresh_token:
            try:
                self._keep(self._post("/api/auth/refresh", {"refresh_token": refresh_token}))
            except Unauthorized:
                pass
            else:
                return
        self._keep(self._post("/api/auth/login", self._account))

    def _keep(self, tokens: dict[str, Any]) -> None:
        self._tokens = tokens
        self._renew_at = time.monotonic() + max(tokens["expires_in"] - _MARGIN_SECONDS, tokens["expires_in"] / 2)
