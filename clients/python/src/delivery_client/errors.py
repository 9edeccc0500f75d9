"""What can go wrong: an answer that is a problem (RFC 9457), or no answer at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse


class FieldError(TypedDict):
    """One wrong field; `pointer` is a JSON pointer, such as `/recipient/phone`."""

    pointer: str
    code: str
    message: str


class DeliveryError(Exception):
    """The base of all errors of this package."""


class Unreachable(DeliveryError):
    """There was no answer, however often it was asked: nobody can know whether a change was made.

    Make the same call again with the same `idempotency_key`, and it is made once.
    """

    def __init__(self, detail: str, *, idempotency_key: str | None) -> None:
        super().__init__(detail)
        self.idempotency_key = idempotency_key


class ApiError(DeliveryError):
    """The API refused; `code` is stable, and docs/api/errors.md says of each what to do."""

    def __init__(self, status: int, problem: dict[str, Any], *, retry_after_seconds: float | None = None) -> None:
        self.status = status
        self.problem = problem  # whole: some codes have members of their own, such as `existing_id`
        self.code: str = problem.get("code", "unknown")
        self.detail: str = problem.get("detail", "")
        self.errors: list[FieldError] = problem.get("errors", [])
        self.request_id: str = problem.get("request_id", "")
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        fields = "".join(f"\n  {error['pointer']}: {error['message']}" for error in self.errors)
        return f"{self.status} {self.code}: {self.detail} (request {self.request_id or 'unknown'}){fields}"


class Unauthorized(ApiError):
    """401: the key or the password does not work, or no longer does."""


class Forbidden(ApiError):
    """403: the role or the key's scopes do not allow it."""


class NotFound(ApiError):
    """404: it does not exist, or is not yours to see."""


class Conflict(ApiError):
    """409: it contradicts what there is; `code` says how."""


class StaleVersion(ApiError):
    """412: it has changed since you read it; read it again."""


class Invalid(ApiError):
    """422: `errors` names every wrong field."""


class TooManyRequests(ApiError):
    """429: there is room again in `retry_after_seconds`, which was longer than this client waits."""


class Unavailable(ApiError):
    """500 and more: the API could not, for now; retries did not help."""


_CLASSES = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: StaleVersion,
    422: Invalid,
    429: TooManyRequests,
}
_SERVERS_FAULT = 500


def error_of(response: BaseHTTPResponse) -> ApiError:
    """Return the error that an answer is; a proxy's page counts as one without a code."""
    try:
        problem = json.loads(response.data)
    except ValueError:
        problem = None
    wait = response.headers.get("Retry-After", "")
    kind = Unavailable if response.status >= _SERVERS_FAULT else _CLASSES.get(response.status, ApiError)
    return kind(
        response.status,
        problem if isinstance(problem, dict) else {"detail": response.reason or ""},
        retry_after_seconds=float(wait) if wait.isdecimal() else None,
    )
