"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from urllib3 import Retry
from urllib3.exceptions import InvalidHeader, MaxRetryError, ResponseError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self
    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool


class Patience(Retry):
    """Try again when there was no answer, or one that says "later".

    Every method is repeated: a POST or PATCH carries an Idempotency-Key, so that a repeat has no second effect.
    """

    # 409 has a Retry-After only while the first of two equal requests, or another change of the same, is running.
    RETRY_AFTER_STATUS_CODES = frozenset({409, 429, 503})

    def get_backoff_time(self) -> float:
        """Return twice as long each time, give or take half, so that many clients do not come back as one."""
        pause = self.backoff_factor * 2.0 ** (len(self.history) - 1)
        return float(min(pause, self.backoff_max)) * random.uniform(0.5, 1.5)  # noqa: S311  not for secrets

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Give up at once where the API asks for a longer wait than `backoff_max`: whoever called knows better."""
        if response is not None and _pool is not None and self._asks_for_too_much(response):
            raise MaxRetryError(_pool, url or "", ResponseError("asked to wait for too long"))
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def _asks_for_too_much(self, response: BaseHTTPResponse) -> bool:
        try:
            return (self.get_retry_after(response) or 0) > self.backoff_max
        except InvalidHeader:
            return True


def patience(*, retries: int, first_pause_seconds: float, longest_pause_seconds: float) -> Patience:
    """Return how requests are retried; redirects are not followed, for the API sends none."""
    options: dict[str, Any] = {"allowed_methods": None, "status_forcelist": {502, 503, 504}, "raise_on_status": False}
    return Patience(
        retries,
        redirect=False,
        backoff_factor=first_pause_seconds,
        backoff_max=longest_pause_seconds,
        **options,
    )
