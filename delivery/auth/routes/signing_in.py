"""Signing in and out, and who one is."""

from typing import Any

from flask import Response

from delivery.auth import services, sessions
from delivery.auth.routes.blueprint import blp
from delivery.auth.schemas import LoginIn, TokenOut
from delivery.database import transaction
from delivery.users import passwords
from delivery.users.access import user_for
from delivery.users.schemas import UserOut, user_out
from delivery.users.states import Part
from delivery.web import answer, caller, no_content, public, signed_in, single


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
