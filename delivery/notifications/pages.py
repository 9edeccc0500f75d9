"""/unsubscribe: one click, and an address gets no more news of deliveries; another one, and it gets them again."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import Response, current_app, render_template
from marshmallow import EXCLUDE, fields, validate

from delivery.database import transaction
from delivery.errors import AppError
from delivery.notifications import opt_outs, unsubscribing
from delivery.notifications.states import Channel
from delivery.web import Blueprint, Schema, no_content, public
from delivery.web.pages import from_browser, html_page

View = TypeVar("View", bound=Callable[..., Any])
blp = Blueprint(
    "unsubscribe",
    __name__,
    url_prefix=unsubscribing.PATH,
    description="What the link in every mail about a delivery leads to; the link is all that it takes.",
    template_folder="html",
)


class OneClick(Schema):
    """What mail programs post (RFC 8058, 3.1); they may add fields of their own."""

    class Meta:
        unknown = EXCLUDE

    one_click = fields.String(required=True, data_key="List-Unsubscribe", validate=validate.Equal("One-Click"))


def _or_page(view: View) -> View:
    """Show a browser what is wrong as a page, where a program gets the problem."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return view(*args, **kwargs)
        except AppError as error:
            if not from_browser():
                raise
            page = _page(status=error.status, error=error.detail)
            page.headers.update(error.headers)
            return page

    return wrapper  # type: ignore[return-value]


def _page(*, status: int = 200, **words: Any) -> Response:
    company = current_app.config["COMPANY_NAME"]
    return html_page(render_template("notifications/unsubscribe.html", company=company, **words), status=status)


@blp.route("/<token>")
@public
@_or_page
@blp.errors_or_page(400)
@blp.response(200, {"type": "string"}, content_type="text/html")
def show(token: str) -> Response:
    """Show a page with a button; looking changes nothing, because mail scanners open links."""
    hashed, _ = unsubscribing.reader_of(token)
    return _page(token=token, silent=bool(opt_outs.in_force([hashed])))


@blp.route("/<token>", methods=("POST",))
@public
@_or_page
@blp.errors(413, 415)
@blp.errors_or_page(400, 422)
@blp.arguments(OneClick, location="json_or_any_form")
@blp.response(204)
@blp.alt_response(200, schema={"type": "string"}, content_type="text/html", success=True, description="To a form")
def leave(_body: dict[str, Any], token: str) -> Response:
    """Send no more news of deliveries to the address that the mail went to: mail programs post this by one click."""
    hashed, _ = unsubscribing.reader_of(token)
    with transaction():
        opt_outs.opt_out_hash(Channel.MAIL, hashed, "link")
    return _page(token=token, silent=True, done=True) if from_browser() else no_content()


@blp.route("/<token>/undo", methods=("POST",))
@public
@_or_page
@blp.errors_or_page(400)
@blp.response(204)
@blp.alt_response(200, schema={"type": "string"}, content_type="text/html", success=True, description="To a form")
def come_back(token: str) -> Response:
    """Send news of deliveries to this address again."""
    hashed, _ = unsubscribing.reader_of(token)
    with transaction():
        opt_outs.opt_in_hash(Channel.MAIL, hashed, "link")
    return _page(token=token, silent=False, done=True) if from_browser() else no_content()
