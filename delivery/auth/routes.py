"""/api/auth: signing in and out, and verifying an address."""

from typing import Any

from flask import Response, render_template

from delivery.auth import services, sessions
from delivery.auth.schemas import AddressIn, LoginIn, TokenIn, TokenOut
from delivery.database import transaction
from delivery.errors import invalid_field
from delivery.idempotency import transactional
from delivery.users import passwords
from delivery.users.access import user_for
from delivery.users.schemas import Accepted, UserOut, user_out
from delivery.web import Blueprint, accepted, answer, caller, no_content, public, signed_in, single

blp = Blueprint("auth", __name__, url_prefix="/api/auth", description="Signing in and out.", template_folder="templates")


@blp.route("/login", methods=("POST",))
@public
@blp.errors(400, 401, 413, 415, 422, 503)
@blp.arguments(LoginIn, location="json_or_form", content_type="application/x-www-form-urlencoded")
@blp.response(200, TokenOut)
def login(body: dict[str, Any]) -> Response:
    """Sign in: the OAuth2 password flow (RFC 6749, 4.3) as a form, or {email, password} as JSON."""
    email = body.get("username") or body.get("email")
    if not email:
        raise invalid_field("/username", "Missing data for required field.", code="required")
    user = services.authenticate(email, body["password"])
    renewed = passwords.hash_password(body["password"]) if passwords.is_outdated(user.password_hash) else None
    with transaction():
        if renewed:
            services.keep_new_hash(user, renewed)
        token = sessions.open_session(user_id=user.id, epoch=user.epoch)
    granted = {"access_token": token.value, "token_type": "Bearer", "expires_in": token.expires_in}
    return answer(granted, headers={"Cache-Control": "no-store"})


@blp.route("/logout", methods=("POST",))
@signed_in
@blp.errors(401)
@blp.response(204)
@transactional
def logout() -> Response:
    """End the session of this access token; the token is dead at once."""
    session_id = caller().session_id
    if session_id:
        sessions.end(session_id)
    return no_content()


@blp.route("/me")
@signed_in
@blp.errors(401)
@blp.response(200, UserOut)
def me() -> Response:
    """Read your own account."""
    return single(user_out(user_for(caller(), caller().id, "read")))


@blp.route("/request-verification", methods=("POST",))
@public
@blp.errors(400, 413, 415, 422)
@blp.arguments(AddressIn)
@blp.response(202, Accepted)
@transactional
def request_verification(body: dict[str, Any]) -> Response:
    """Ask for a fresh verification link; the answer is the same for every address."""
    services.request_verification(body["email"])
    return accepted("If the address waits to be confirmed, a mail with a link is on its way.")


@blp.route("/verify-email")
@public
@blp.errors(422)
@blp.arguments(TokenIn, location="query")
@blp.response(200, content_type="text/html", schema={"type": "string"})
def verify_email_page(args: dict[str, Any]) -> Response:
    """Show a page with a button; it never uses the link up, because mail scanners open links."""
    page = Response(render_template("auth/verify_email.html", token=args["token"]), mimetype="text/html")
    page.headers["Cache-Control"] = "no-store"
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


@blp.route("/verify-email", methods=("POST",))
@public
@blp.errors(400, 413, 415, 422)
@blp.arguments(TokenIn, location="json_or_form")
@blp.response(204)
@transactional
def verify_email(body: dict[str, Any]) -> Response:
    """Confirm the address that the link was sent to."""
    services.verify_email(body["token"])
    return no_content()
