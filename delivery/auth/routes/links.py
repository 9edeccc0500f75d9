"""What the links in mails lead to: a page that changes nothing, and the POST of its button."""

from typing import Any

from flask import Response, request
from marshmallow import EXCLUDE

from delivery.auth import services
from delivery.auth.routes.blueprint import blp
from delivery.auth.routes.pages import page
from delivery.auth.schemas import AddressIn, TokenIn
from delivery.database import transaction
from delivery.users.schemas import Accepted
from delivery.web import accepted, no_content, public


@blp.route("/request-verification", methods=("POST",))
@public
@blp.errors(400, 413, 415, 422)
@blp.arguments(AddressIn)
@blp.response(202, Accepted)
def request_verification(body: dict[str, Any]) -> Response:
    """Ask for a fresh verification link; the answer is the same for every address."""
    with transaction():
        services.request_verification(body["email"])
    return accepted("If the address waits to be confirmed, a mail with a link is on its way.")


@blp.route("/verify-email")
@public
@blp.errors(422)
@blp.arguments(TokenIn(unknown=EXCLUDE), location="query")  # mail programs add parameters of their own
@blp.response(200, {"type": "string"}, content_type="text/html")
def verify_email_page(args: dict[str, Any]) -> Response:
    """Show a page with a button; it never uses the link up, because mail scanners open links."""
    return _page("Confirm your address", "One click, and your account is ready.", token=args["token"])


@blp.route("/verify-email", methods=("POST",))
@public
@blp.errors(400, 413, 415, 422)
@blp.arguments(TokenIn, location="json_or_form")
@blp.response(204)
@blp.alt_response(
    200, schema={"type": "string"}, content_type="text/html", success=True, description="To the page's form"
)
def verify_email(body: dict[str, Any]) -> Response:
    """Confirm the address that the link was sent to."""
    with transaction():
        services.verify_email(body["token"])
    if request.is_json:
        return no_content()
    return _page("Thank you", "Your address is confirmed. You can sign in now.")


def _page(title: str, words: str, *, token: str | None = None) -> Response:
    return page("verify_email", title=title, words=words, token=token)
