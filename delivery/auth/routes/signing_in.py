"""Signing in and out, and who one is."""

from typing import Any

from flask import Response, request

from delivery import limits
from delivery.auth import queries, refresh_tokens, services, sessions
from delivery.auth.routes.blueprint import blp
from delivery.auth.schemas import LoginIn, RefreshIn, TokenOut
from delivery.database import transaction
from delivery.errors import Unauthorized
from delivery.users import passwords
from delivery.users.access import user_for
from delivery.users.schemas import UserOut, user_out
from delivery.users.states import Part
from delivery.web import answer, caller, no_content, public, signed_in, single


@blp.route("/login", methods=("POST",))
@public
@blp.errors(400, 401, 413, 415, 422, 429, 503)
@blp.arguments(LoginIn, location="json_or_form")
@blp.response(200, TokenOut)
def login(body: dict[str, Any]) -> Response:
    """Sign in: the OAuth2 password flow (RFC 6749, 4.3) as a form, or {email, password} as JSON.

    A wrong address and a wrong password are the same 401. Too many wrong ones for one account, or from one network,
    are answered 429 for a while, right or wrong.
    """
    email, password = body.get("username") or body["email"], body["password"]
    attempt = limits.take(limits.LOGIN, email)
    user = services.account_of(email)
    with limits.back_when_busy(attempt):
        reason = services.refusal_of(user, password, barred=attempt.barred)
    if reason:
        with transaction():
            services.refuse(user, reason=reason)
        raise Unauthorized("The address or the password is wrong.", code="invalid_credentials")
    renewed = passwords.hash_password(password) if passwords.is_outdated(user.password_hash) else None
    with transaction():
        if renewed:
            services.keep_new_hash(user, renewed)
        granted = services.sign_in(user, attempt=attempt, user_agent=request.headers.get("User-Agent"))
    return _tokens(granted)


@blp.route("/refresh", methods=("POST",))
@public
@blp.errors(400, 401, 413, 415, 422, 429)
@blp.arguments(RefreshIn, location="json_or_form")
@blp.response(200, TokenOut)
def refresh(body: dict[str, Any]) -> Response:
    """Trade a refresh token for new tokens (RFC 6749, 6), as a form or as JSON; it is of use once.

    One that comes a second time ends its session, unless it follows soon and the next one is unused: then the answer
    had been lost, and comes again.
    """
    token = body["refresh_token"]
    family = queries.family(refresh_tokens.hash_of(token))
    if family is None:
        raise _not_refreshed()
    if not family.used:  # a used one may be a thief's, and is to be found out whatever the limit says
        limits.take(limits.REFRESH, str(family.id))
    with transaction():
        granted = sessions.refresh(token, family=family)
    if granted is None:
        raise _not_refreshed()
    return _tokens(granted)


@blp.route("/logout", methods=("POST",))
@signed_in
@blp.errors(401)
@blp.response(204)
@transaction()
def logout() -> Response:
    """End the session of this access token; it and its refresh token are dead at once.

    Other sessions and API keys go on. A second call is a 401, since the token is dead.
    """
    services.sign_out(caller().id, caller().session_id)
    return no_content()


@blp.route("/logout-all", methods=("POST",))
@signed_in
@blp.errors(401)
@blp.response(204)
@transaction()
def logout_all() -> Response:
    """End all of your sessions, this one too, and all links in mails.

    API keys go on. Sign in anew to go on yourself.
    """
    services.sign_out_everywhere(caller().id)
    return no_content()


@blp.route("/me")
@signed_in
@blp.errors(401)
@blp.response(200, UserOut)
@blp.not_modified
def me() -> Response:
    """Read your own account.

    An API key reads its owner's account; a test key, too.
    """
    return single(user_out(user_for(caller(), caller().id, frozenset({Part.SELF}))))


def _tokens(granted: sessions.Grant) -> Response:
    body = {
        "access_token": granted.access_token,
        "token_type": "Bearer",
        "expires_in": granted.expires_in,
        "refresh_token": granted.refresh_token,
    }
    return answer(body, headers={"Cache-Control": "no-store"})


def _not_refreshed() -> Unauthorized:
    """Build the one error of every refresh token that does not work (any more)."""
    detail = "The refresh token is not valid, or no longer is; sign in again."
    return Unauthorized(detail, code="invalid_refresh_token", challenge='Bearer error="invalid_token"')
