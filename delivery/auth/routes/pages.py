"""The pages that links in mails lead to: they work without JavaScript, and looking at one changes nothing."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from math import ceil
from typing import Any, TypeVar

from flask import Response, current_app, render_template, request

from delivery.errors import AppError
from delivery.web.pages import from_browser, html_page

__all__ = ["from_browser", "or_page", "page"]

View = TypeVar("View", bound=Callable[..., Any])


def page(template: str, *, status: int = HTTPStatus.OK, **words: Any) -> Response:
    """Answer with a page; a template is given `token` while its form may be of use, and `done` when it was."""
    config = current_app.config
    html = render_template(
        f"auth/{template}.html", company=config["COMPANY_NAME"], shortest=config["PASSWORD_MIN_LENGTH"], **words
    )
    return html_page(html, status=status)


def or_page(name: str) -> Callable[[View], View]:
    """Show a browser the page again, with what is wrong, where a program gets the problem; outside the arguments."""

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except AppError as error:
                if not from_browser():
                    raise
                return _again(name, error)

        return wrapper  # type: ignore[return-value]

    return decorate


def _again(name: str, error: AppError) -> Response:
    wrong = {one["pointer"].split("/")[1]: one["message"] for one in error.errors}
    token = request.form.get("token")
    dead = error.status == HTTPStatus.BAD_REQUEST or "token" in wrong or not token
    field = next((one for one in ("name", "password") if one in wrong), "")
    words = {
        "error": wrong.get(field, error.detail) + _when(error),
        "field": field,
        "name": request.form.get("name", ""),
        "revoke_api_keys": request.form.get("revoke_api_keys", ""),
    }
    again = page(name, status=error.status, token=token, dead=dead, **words)
    again.headers.update(error.headers)
    return again


def _when(error: AppError) -> str:
    """Say when to try again, to whoever sees no headers."""
    if error.status != HTTPStatus.TOO_MANY_REQUESTS:
        return ""
    minutes = ceil(int(error.headers["Retry-After"]) / 60)
    return f" Try again in {minutes} minute{'' if minutes == 1 else 's'}."
