"""The errors that the API answers with, and their one shape: RFC 9457 problem+json."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

SOME_WRONG = "Some fields are wrong; `errors` names each of them."
FieldError = dict[str, str]  # {"pointer": "/recipient/email", "code": "invalid", "message": "..."}


class AppError(Exception):
    """An error with a stable code for machines and a detail that says what to do next.

    Args:
        detail: one sentence for people; never a library's or the database's text.
        errors: every wrong field at once.
        headers: headers of the answer, such as Retry-After.
        extra: further members of the problem object (RFC 9457, 3.2).
    """

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extra = extra


class Malformed(AppError):
    status, code = HTTPStatus.BAD_REQUEST, "malformed"


class Unauthorized(AppError):
    """No valid credentials; RFC 6750, 3 wants the challenge."""

    status, code = HTTPStatus.UNAUTHORIZED, "unauthorized"

    def __init__(self, detail: str, *, challenge: str = "Bearer", **extra: Any) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge}, **extra)


class Forbidden(AppError):
    status, code = HTTPStatus.FORBIDDEN, "forbidden"


class NotFound(AppError):
    """Does not exist, or is not yours to see: nobody can tell which."""

    status, code = HTTPStatus.NOT_FOUND, "not_found"

    def __init__(self, detail: str = "There is nothing here that you may see.") -> None:
        super().__init__(detail)


class Conflict(AppError):
    status, code = HTTPStatus.CONFLICT, "conflict"


class PreconditionFailed(AppError):
    status, code = HTTPStatus.PRECONDITION_FAILED, "stale_version"


class PreconditionRequired(AppError):
    status, code = HTTPStatus.PRECONDITION_REQUIRED, "if_match_required"


class UnsupportedMediaType(AppError):
    status, code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"


class Invalid(AppError):
    """A well-formed request that means nothing; `errors` names every wrong field."""

    status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "validation_failed"


class TooMany(AppError):
    """A limit is reached (RFC 6585, 4); `most` is how many it allows, and there is room again in so many seconds."""

    status, code = HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests"

    def __init__(self, detail: str, *, most: int, retry_after_seconds: int) -> None:
        limit = rate_limit_headers(most, remaining=0, reset_seconds=retry_after_seconds)
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds), **limit})


class Unavailable(AppError):
    """A part that we need is down or busy; trying again later may help."""

    status, code = HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"

    def __init__(self, detail: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


def rate_limit_headers(most: int, *, remaining: int, reset_seconds: int) -> dict[str, str]:
    """Return what draft-ietf-httpapi-ratelimit-headers-06 calls them, the last draft of three plain fields.

    RateLimit-Reset is how many seconds it takes until there is room for one more than now.
    """
    values = {"Limit": most, "Remaining": remaining, "Reset": reset_seconds}
    return {f"RateLimit-{name}": str(value) for name, value in values.items()}


def invalid_field(pointer: str, message: str, *, code: str = "invalid") -> Invalid:
    """Build the error of one wrong field; `pointer` is a JSON pointer (RFC 6901)."""
    return invalid_fields({pointer: message}, code=code)


def invalid_fields(messages: Mapping[str, str], *, code: str = "invalid") -> Invalid:
    """Build the error of several wrong fields; the keys are JSON pointers."""
    return wrong_fields({"pointer": pointer, "code": code, "message": message} for pointer, message in messages.items())


def wrong_fields(errors: Iterable[FieldError]) -> Invalid:
    """Build the error of wrong fields, each with its pointer, code and message."""
    return Invalid(SOME_WRONG, errors=list(errors))


def lost_race() -> Conflict:
    """Build the error of a change whose version somebody else has taken meanwhile."""
    return Conflict("Somebody else changed it at the same moment; read it again.", code="lost_race")


def problem(error: AppError, *, request_id: str) -> dict[str, Any]:
    """Return the problem object of an error (RFC 9457)."""
    body: dict[str, Any] = {
        "type": f"urn:delivery:problem:{error.code}",
        "title": error.status.phrase,
        "status": error.status.value,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        **error.extra,
    }
    if error.errors:
        body["errors"] = error.errors
    return body
