"""/api/invitations for admins, and the page where somebody who is invited makes their account."""

from typing import Any

from flask import Response
from marshmallow import EXCLUDE

from delivery import limits
from delivery.auth import invitations
from delivery.auth.access import invitation_for
from delivery.auth.routes.blueprint import blp as auth
from delivery.auth.routes.pages import from_browser, or_page, page
from delivery.auth.schemas import AcceptIn, InvitationArgs, InvitationIn, InvitationOut, InvitationPage, TokenIn
from delivery.database import transaction
from delivery.idempotency import transactional
from delivery.users import passwords
from delivery.users.access import check_role_given
from delivery.users.schemas import UserOut, user_out
from delivery.web import (
    Blueprint,
    Expected,
    answer,
    caller,
    created,
    found,
    if_match,
    no_content,
    public,
    signed_in,
    single,
)
from delivery.web.paging import page_from, uuid_position

blp = Blueprint(
    "invitations", __name__, url_prefix="/api/invitations", description="People asked to make an account, by admins."
)


@blp.route("", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422)
@blp.arguments(InvitationIn)
@blp.response(201, InvitationOut)
@transactional
def invite(body: dict[str, Any]) -> Response:
    """Invite somebody to make an account with a role; the mail's link lives for seven days.

    It works whatever REGISTRATION says. An older invitation of the same address ends: the newest link alone works.
    """
    check_role_given(caller(), body["role"], to_new=True)
    row = invitations.invite(**body, by=caller().id)
    return created(invitations.shown(row), location=f"/api/invitations/{row.id}")


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(InvitationArgs, location="query")
@blp.response(200, InvitationPage)
def index(args: dict[str, Any]) -> Response:
    """List invitations, the newest first.

    `state` chooses among those that are open, and those that ended in one way or another.
    """
    limit, after = args["limit"], uuid_position(args["cursor"], sort="-id")
    rows = invitations.invitations(state=args["state"], after=after, limit=limit + 1)
    return answer(page_from(rows, limit=limit, shown=invitations.shown))


@blp.route("/<uuid:invitation_id>")
@signed_in
@found(invitation_for)
@blp.errors(401, 403, 404)
@blp.response(200, InvitationOut)
@blp.not_modified
def show(invitation: Any) -> Response:
    """Read an invitation and what became of it.

    Its ETag is for `If-Match`, where it is to be revoked.
    """
    return single(invitations.shown(invitation))


@blp.route("/<uuid:invitation_id>", methods=("DELETE",))
@signed_in
@found(invitation_for)
@blp.errors(400, 401, 403, 404, 409, 412, 428)
@blp.response(204)
@if_match
@transaction()
def revoke(invitation: Any, *, expected: Expected) -> Response:
    """Revoke an invitation: its link is dead at once. One that was accepted is 409.

    Accepted ones are accounts: deactivate these. Needs `If-Match`.
    """
    invitations.revoke(invitation.id, expected=expected)
    return no_content()


@auth.route("/accept-invitation")
@public
@or_page("accept_invitation")
@auth.errors_or_page(422)
@auth.arguments(TokenIn(unknown=EXCLUDE), location="query")  # mail programs add parameters of their own
@auth.page_response
def accept_invitation_page(args: dict[str, Any]) -> Response:
    """Show a form for the name and the password; it never uses the link up, because mail scanners open links.

    The link in the mail leads here; its form posts to the same address.
    """
    return page("accept_invitation", token=args["token"])


@auth.route("/accept-invitation", methods=("POST",))
@public
@or_page("accept_invitation")
@auth.errors(413, 415)
@auth.errors_or_page(400, 422, 429, 503)
@auth.arguments(AcceptIn, location="json_or_form")
@auth.response(201, UserOut)
@auth.page_to_form
def accept_invitation(body: dict[str, Any]) -> Response:
    """Make the account that you are invited to; the address is confirmed by the link.

    The token works once, until the invitation ends or is revoked. A program gets the user, a browser the next page.
    """
    limits.take(limits.CONFIRM)
    invitation = invitations.open_one(body["token"])
    passwords.check_new(body["password"], own=(body["name"], invitation.email))
    password_hash = passwords.hash_password(body["password"])
    with transaction():
        user = invitations.accept(invitation, name=body["name"], password_hash=password_hash)
    if from_browser():
        return page("accept_invitation", done=True)
    return created(user_out(user), location=f"/api/users/{user.id}")
