"""Confirming an address, the first or another one: the links in mails, and what has them sent."""

from typing import Any

from flask import Response
from marshmallow import EXCLUDE

from delivery import limits
from delivery.auth import addresses, recovery
from delivery.auth.routes.blueprint import blp
from delivery.auth.routes.pages import from_browser, or_page, page
from delivery.auth.schemas import AddressIn, EmailChangeIn, TokenIn
from delivery.database import transaction
from delivery.errors import AppError
from delivery.idempotency import heeds_key, transactional
from delivery.users.schemas import Accepted
from delivery.web import accepted, caller, no_content, public, signed_in


@blp.route("/request-verification", methods=("POST",))
@public
@blp.errors(400, 413, 415, 422, 429)
@blp.arguments(AddressIn)
@blp.response(202, Accepted)
def request_verification(body: dict[str, Any]) -> Response:
    """Ask for a fresh verification link; the answer is the same for every address.

    A mail goes out only where there is such an account and its address is not confirmed; the links before end.
    """
    limits.take(limits.RESEND, body["email"])
    with transaction():
        addresses.request_verification(body["email"])
    return accepted("If the address waits to be confirmed, a mail with a link is on its way.")


@blp.route("/verify-email")
@public
@or_page("verify_email")
@blp.errors_or_page(422)
@blp.arguments(TokenIn(unknown=EXCLUDE), location="query")  # mail programs add parameters of their own
@blp.page_response
def verify_email_page(args: dict[str, Any]) -> Response:
    """Show a page with a button; it never uses the link up, because mail scanners open links.

    The link in the mail leads here; the button posts to the same address.
    """
    return page("verify_email", token=args["token"])


@blp.route("/verify-email", methods=("POST",))
@public
@or_page("verify_email")
@blp.errors(413, 415)
@blp.errors_or_page(400, 422, 429)
@blp.arguments(TokenIn, location="json_or_form")
@blp.response(204)
@blp.page_to_form
def verify_email(body: dict[str, Any]) -> Response:
    """Confirm the address that the link was sent to.

    The token works once, and only the newest one does. A program gets 204, a browser the next page.
    """
    limits.take(limits.CONFIRM)
    with transaction():
        addresses.verify(body["token"])
    return page("verify_email", done=True) if from_browser() else no_content()


@blp.route("/change-email", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 413, 415, 422, 429, 503)
@blp.arguments(EmailChangeIn)
@blp.response(202, Accepted)
@heeds_key
def change_email(body: dict[str, Any]) -> Response:
    """Ask for your account to have another address; a link to that address confirms it.

    The answer is the same whether the address is free or somebody else's.
    """
    user = recovery.owner(caller().id)
    # First: when it is refused, the right password must not stay counted as a failed login.
    asked = limits.take(limits.RESEND, body["email"])
    with limits.back_upon(AppError, asked):  # nothing is sent
        taken = recovery.prove(user, body["password"], pointer="/password")
    with transaction():  # of its own: who comes second of twins undoes the next
        limits.forgive(taken)
    return _request_change(user, body["email"])


@transactional
def _request_change(user: Any, email: str) -> Response:
    addresses.request_change(user.id, email)
    return accepted("If the address can be yours, a mail with a link to confirm it is on its way there.")


@blp.route("/confirm-email")
@public
@or_page("confirm_email")
@blp.errors_or_page(422)
@blp.arguments(TokenIn(unknown=EXCLUDE), location="query")
@blp.page_response
def confirm_email_page(args: dict[str, Any]) -> Response:
    """Show a page with a button that gives the account its new address; looking changes nothing.

    The link in the mail leads here; the button posts to the same address.
    """
    return page("confirm_email", token=args["token"])


@blp.route("/confirm-email", methods=("POST",))
@public
@or_page("confirm_email")
@blp.errors(413, 415)
@blp.errors_or_page(400, 422, 429)
@blp.arguments(TokenIn, location="json_or_form")
@blp.response(204)
@blp.page_to_form
def confirm_email(body: dict[str, Any]) -> Response:
    """Give the account the address that the link was sent to; the address before gets a notice.

    The token works once, and only the newest one does. A program gets 204, a browser the next page.
    """
    limits.take(limits.CONFIRM)
    with transaction():
        addresses.confirm_change(body["token"])
    return page("confirm_email", done=True) if from_browser() else no_content()
