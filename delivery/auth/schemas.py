"""The shapes of signing in."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate, validates_schema

from delivery.auth.models import LONGEST_USER_AGENT
from delivery.users.schemas import LONGEST_EMAIL, LONGEST_PASSWORD, Email
from delivery.web import Schema


class _OAuthIn(Schema):
    """What programs that speak OAuth2 send along; we have no scopes and no clients that must be known."""

    scope = fields.String(validate=validate.Length(max=200))
    client_id = fields.String(validate=validate.Length(max=200))
    client_secret = fields.String(load_only=True, validate=validate.Length(max=200))


class LoginIn(_OAuthIn):
    """RFC 6749, 4.3.2, as a form; the same with `email` as JSON."""

    username = fields.String(
        validate=validate.Length(max=LONGEST_EMAIL), metadata={"description": "The e-mail address."}
    )
    email = fields.String(validate=validate.Length(max=LONGEST_EMAIL))
    password = fields.String(required=True, load_only=True, validate=validate.Length(max=LONGEST_PASSWORD))
    grant_type = fields.String(validate=validate.OneOf(["password"]))

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def has_a_name(self, _data: Any, sent: Any, **_: Any) -> None:
        if isinstance(sent, Mapping) and not (sent.get("username") or sent.get("email")):
            raise ValidationError("Missing data for required field.", "username")


class RefreshIn(_OAuthIn):
    """RFC 6749, 6, as a form; the same as JSON."""

    refresh_token = fields.String(required=True, load_only=True, validate=validate.Length(max=1000))
    grant_type = fields.String(validate=validate.OneOf(["refresh_token"]))


class TokenOut(Schema):
    access_token = fields.String(required=True)
    token_type = fields.String(required=True, validate=validate.OneOf(["Bearer"]))
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})
    refresh_token = fields.String(
        required=True, metadata={"description": "For POST /api/auth/refresh, once; the answer has the next one."}
    )


class SessionOut(Schema):
    id = fields.UUID(required=True)
    created_at = fields.AwareDateTime(required=True)
    last_used_at = fields.AwareDateTime(required=True, metadata={"description": "The last refresh, or the login."})
    expires_at = fields.AwareDateTime(required=True, metadata={"description": "Unless it is refreshed before."})
    user_agent = fields.String(required=True, allow_none=True, validate=validate.Length(max=LONGEST_USER_AGENT))
    current = fields.Boolean(required=True, metadata={"description": "Whether this is the session that asks."})


class SessionPage(Schema):
    items = fields.List(fields.Nested(SessionOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


def session_out(row: Any, *, current_id: UUID | None) -> dict[str, Any]:
    """Return a session as SessionOut documents it."""
    names = ("id", "created_at", "last_used_at", "expires_at", "user_agent")
    return {name: getattr(row, name) for name in names} | {"current": row.id == current_id}


class AddressIn(Schema):
    email = Email(required=True)


class TokenIn(Schema):
    token = fields.String(required=True, validate=validate.Length(max=1000))
