"""API keys: their owners make, roll and revoke them, and admins look after those of others."""

from typing import Any
from uuid import UUID

from flask import Response

from delivery.auth import api_keys
from delivery.auth.access import key_for
from delivery.auth.queries import keys
from delivery.auth.schemas import ApiKeyIn, ApiKeyOut, ApiKeyPage, ApiKeyRollIn, NewApiKeyOut, key_out
from delivery.database import transaction
from delivery.idempotency import transactional_with_secret
from delivery.users.access import user_for
from delivery.web import (
    Blueprint,
    Expected,
    answer,
    caller,
    created,
    etag_of,
    found,
    if_match_optional,
    no_content,
    signed_in,
)
from delivery.web.paging import PageArgs, page_from, uuid_position

blp = Blueprint("api-keys", __name__, url_prefix="/api", description="Keys that programs act with.")


@blp.route("/auth/api-keys")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(PageArgs, location="query")
@blp.response(200, ApiKeyPage)
def index(args: dict[str, Any]) -> Response:
    """List your API keys, those that ended too, the newest first.

    Test keys are among them. No secret is shown: of each there is `hint` only.
    """
    return _page(caller().id, args)


@blp.route("/auth/api-keys", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422)
@blp.arguments(ApiKeyIn)
@blp.response(201, NewApiKeyOut)
@transactional_with_secret("secret")
def create(body: dict[str, Any]) -> Response:
    """Make an API key. Its `secret` is shown this once.

    Keep the secret at once: nobody can show it again, not even the replay of an `Idempotency-Key`. The address must
    be confirmed (else 403 `email_unverified`), and 50 keys that work are the most (409 `too_many_keys`).
    """
    return _made(*api_keys.create(caller(), **body))


@blp.route("/auth/api-keys/<uuid:key_id>")
@signed_in
@found(key_for)
@blp.errors(401, 403, 404)
@blp.response(200, ApiKeyOut)
def show(key: Any) -> Response:
    """Read one of your API keys.

    Its ETag is for `If-Match`; it is never a 304, since `last_used_at` changes without a new version.
    """
    # Never 304: `last_used_at` changes without a new version.
    return answer(key_out(key), headers={"ETag": etag_of(key.version)})


@blp.route("/auth/api-keys/<uuid:key_id>", methods=("DELETE",))
@signed_in
@found(key_for)
@blp.errors(400, 401, 403, 404, 412)
@blp.response(204)
@if_match_optional
@transaction()
def revoke(key: Any, *, expected: Expected) -> Response:
    """Revoke one of your API keys; it is dead at once. In a hurry, no `If-Match` is needed.

    When `If-Match` is sent it is heeded.
    """
    api_keys.revoke(key, expected=expected)
    return no_content()


@blp.route("/auth/api-keys/<uuid:key_id>/roll", methods=("POST",))
@signed_in
@found(key_for)
@blp.errors(400, 401, 403, 404, 409, 412, 413, 415, 422)
@blp.arguments(ApiKeyRollIn)
@blp.response(201, NewApiKeyOut)
@if_match_optional
@transactional_with_secret("secret")
def roll(key: Any, body: dict[str, Any], *, expected: Expected) -> Response:
    """Replace one of your API keys by a new one that may do the same; the old one works until the overlap ends.

    The overlap is a day when not given, a week at most. The answer has the new `secret`, this once; a key that has
    ended is a 409 `key_ended`.
    """
    return _made(*api_keys.roll(caller(), key, expected=expected, **body))


@blp.route("/users/<uuid:user_id>/api-keys")
@signed_in
@found(user_for)
@blp.errors(400, 401, 403, 404, 422)
@blp.arguments(PageArgs, location="query")
@blp.response(200, ApiKeyPage)
def of_user(user: Any, args: dict[str, Any]) -> Response:
    """List the API keys of a user: your own, or anybody's as an admin.

    The newest first, those that ended too; no secret is shown.
    """
    return _page(user.id, args)


@blp.route("/users/<uuid:user_id>/api-keys", methods=("DELETE",))
@signed_in
@found(user_for)
@blp.errors(401, 403, 404)
@blp.response(204)
@transaction()
def revoke_all(user: Any) -> Response:
    """Revoke all API keys of a user: your own, or anybody's as an admin.

    They are dead at once, and nothing brings them back.
    """
    api_keys.revoke_all(user.id)
    return no_content()


def _page(user_id: UUID | None, args: dict[str, Any]) -> Response:
    after = uuid_position(args["cursor"], sort="-id")
    rows = keys(user_id, after=after, limit=args["limit"] + 1)
    return answer(page_from(rows, limit=args["limit"], shown=key_out))


def _made(key: Any, secret: str) -> Response:
    response = created({**key_out(key), "secret": secret}, location=f"/api/auth/api-keys/{key.id}")
    response.headers["Cache-Control"] = "no-store"
    return response
