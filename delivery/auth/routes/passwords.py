"""New passwords: forgotten ones by a link in a mail, known ones by whoever is signed in."""

from typing import Any

from flask import Response
from marshmallow import EXCLUDE

from delivery import limits
from delivery.auth import recovery
from delivery.auth.routes.blueprint import blp
from delivery.auth.routes.pages import from_browser, or_page, page
from delivery.auth.schemas import AddressIn, PasswordChangeIn, ResetIn, TokenIn
from delivery.database import transaction
from delivery.users import passwords
from delivery.users.schemas import Accepted
from delivery.web import accepted, answer, caller, no_content, public, signed_in


@blp.route("/request-password-reset", methods=("POST",))
@public
@blp.errors(400, 413, 415, 422, 429)
@blp.arguments(AddressIn)
@blp.response(202, Accepted)
def request_password_reset(body: dict[str, Any]) -> Response:
    """Ask for a link to choose a new password; the answer is the same for every address.

    A mail goes out only where there is such an account; the link works once, and ends the ones before.
    """
    limits.take(limits.FORGOT, body["email"])
    with transaction():
        recovery.request_reset(body["email"])
    return accepted("If there is an account with this address, a mail with a link is on its way.")


@blp.route("/reset-password")
@public
@or_page("reset_password")
@blp.errors_or_page(422)
@blp.arguments(TokenIn(unknown=EXCLUDE), location="query")  # mail programs add parameters of their own
@blp.page_response
def reset_password_page(args: dict[str, Any]) -> Response:
    """Show a page with a form for the new password; looking at it does not use the link up.

    The link in the mail leads here; the form posts to the same address.
    """
    return page("reset_password", token=args["token"], revoke_api_keys=True)


@blp.route("/reset-password", methods=("POST",))
@public
@or_page("reset_password")
@blp.errors(413, 415)
@blp.errors_or_page(400, 422, 429, 503)
@blp.arguments(ResetIn, location="json_or_form")
@blp.response(204)
@blp.page_to_form
def reset_password(body: dict[str, Any]) -> Response:
    """Choose a new password with the link that was mailed; every session ends, and none begins.

    The token works once, and only the newest one does. A program gets 204, a browser the next page.
    """
    limits.take(limits.CONFIRM)
    user = recovery.linked(body["token"])
    passwords.check_new(body["password"], own=(user.name, user.email))
    password_hash = passwords.hash_password(body["password"])
    with transaction():
        recovery.reset(user, password_hash=password_hash, revoke_api_keys=body["revoke_api_keys"])
    return page("reset_password", done=True) if from_browser() else no_content()


@blp.route("/change-password", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422, 429, 503)
@blp.arguments(PasswordChangeIn)
@blp.response(200, Accepted)
def change_password(body: dict[str, Any]) -> Response:
    """Change your password; every session ends at once, this one too, and all links in mails are dead.

    Sign in anew with the new password. API keys go on working, unless `revoke_api_keys` says otherwise.
    """
    user = recovery.owner(caller().id)
    passwords.check_new(body["new_password"], own=(user.name, user.email), pointer="/new_password")
    taken = recovery.prove(user, body["current_password"], pointer="/current_password")
    with limits.back_when_busy(taken):
        password_hash = passwords.hash_password(body["new_password"])
    with transaction():
        recovery.change(user, password_hash=password_hash, revoke_api_keys=body["revoke_api_keys"])
    return answer({"detail": "The password is changed. Every session has ended, this one too: sign in again."})
