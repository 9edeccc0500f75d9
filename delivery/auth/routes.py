"""/api/auth: signing in and out, and verifying an address."""

from typing import Any

from flask import Response, render_template, request
from marshmallow import EXCLUDE

from delivery.auth import services, sessions
from delivery.auth.schemas import AddressIn, LoginIn, TokenIn, TokenOut
from delivery.database import transaction
from delivery.users import passwords
from delivery.users.access import user_for
from delivery.users.schemas import Accepted, UserOut, user_out
from delivery.users.states import Part
from delivery.web import Blueprint, accepted, answer, caller, no_content, public, signed_in, single

blp = Blueprint(
    "auth",
    __name__,
    url_prefix="/api/auth",
    description="Signing in and out.",
    template_folder="templates",
    static_folder="static",
)
_CSP = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@blp.route("/login", methods=("POST",))
@public
@blp.errors(400, 401, 413, 415, 422, 503)
@blp.arguments(LoginIn, location="json_or_form")
@blp.response(200, TokenOut)
def login(body: dict[str, Any]) -> Response:
    """Sign in: the OAuth2 password flow (RFC 6749, 4.3) as a form, or {email, password} as JSON."""
    user = services.authenticate(body.get("username") or body["email"], body["password"])
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
@transaction()
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
    return single(user_out(user_for(caller(), caller().id, frozenset({Part.SELF}))))


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
    html = render_template("auth/verify_email.html", title=title, words=words, token=token)
    page = Response(html, mimetype="text/html")
    page.headers["Cache-Control"] = "no-store"
    page.headers["Referrer-Policy"] = "no-referrer"  # the address holds the token
    page.headers["Content-Security-Policy"] = _CSP
    return page
