"""The shapes of signing in, and of API keys."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate, validates_schema

from delivery.auth.models import LONGEST_USER_AGENT
from delivery.auth.states import InvitationState, Scope
from delivery.users.schemas import LONGEST_EMAIL, Email, Password, folded
from delivery.users.states import Role
from delivery.web import Flag, Line, Schema, Text, Tick, Time, Whole, Word
from delivery.web.paging import PageArgs, page_of

# Far more than ours have. In an address it may become three times as long, and must fit into a request's line.
LONGEST_TOKEN = 2_000


class _OAuthIn(Schema):
    """What programs that speak OAuth2 send along; we have no scopes and no clients that must be known."""

    scope = Text(200)
    client_id = Text(200)
    client_secret = fields.String(load_only=True, validate=validate.Length(max=200))


class SignInName(fields.String):
    """An address in its one form, where it has one: however it is written, guesses at it are counted together."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **options)
        with suppress(UnicodeError):
            return folded(text) or text
        return text


class LoginIn(_OAuthIn):
    """RFC 6749, 4.3.2, as a form; the same with `email` as JSON."""

    username = SignInName(
        validate=validate.Length(max=LONGEST_EMAIL),
        metadata={"description": "The e-mail address.", "example": "ada@shop.example"},
    )
    email = SignInName(validate=validate.Length(max=LONGEST_EMAIL))
    password = Password()
    grant_type = fields.String(validate=validate.OneOf(["password"]))

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def has_a_name(self, _data: Any, sent: Any, **_: Any) -> None:
        if isinstance(sent, Mapping) and not (sent.get("username") or sent.get("email")):
            raise ValidationError("Missing data for required field.", "username")


class RefreshIn(_OAuthIn):
    """RFC 6749, 6, as a form; the same as JSON."""

    refresh_token = Text(1000, required=True, load_only=True, metadata={"example": "dmr_Zk3q8vYt1mXbN5sPw7LcR2hD"})
    grant_type = fields.String(validate=validate.OneOf(["refresh_token"]))


class TokenOut(Schema):
    access_token = Word(4000, required=True, metadata={"example": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmVk"})
    token_type = fields.String(required=True, validate=validate.OneOf(["Bearer"]))
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds.", "example": 1800})
    refresh_token = Word(
        1000,
        required=True,
        metadata={
            "description": "For POST /api/auth/refresh, once; the answer has the next one.",
            "example": "dmr_Zk3q8vYt1mXbN5sPw7LcR2hD",
        },
    )


class SessionOut(Schema):
    id = fields.UUID(required=True)
    created_at = fields.AwareDateTime(required=True)
    last_used_at = fields.AwareDateTime(required=True, metadata={"description": "The last refresh, or the login."})
    expires_at = fields.AwareDateTime(required=True, metadata={"description": "Unless it is refreshed before."})
    user_agent = fields.String(required=True, allow_none=True, validate=validate.Length(max=LONGEST_USER_AGENT))
    current = fields.Boolean(required=True, metadata={"description": "Whether this is the session that asks."})


SessionPage = page_of(SessionOut)


def session_out(row: Any, *, current_id: UUID | None) -> dict[str, Any]:
    """Return a session as SessionOut documents it."""
    names = ("id", "created_at", "last_used_at", "expires_at", "user_agent")
    return {name: getattr(row, name) for name in names} | {"current": row.id == current_id}


class AddressIn(Schema):
    email = Email(required=True)


class TokenIn(Schema):
    token = Text(
        LONGEST_TOKEN,
        required=True,
        metadata={"description": "What the link in the mail has after `token=`.", "example": "WyJhZGEiXQ.aSg.c2lnbmVk"},
    )


class ResetIn(TokenIn):
    password = Password(metadata={"example": "correct horse battery"})
    revoke_api_keys = Tick(
        load_default=False,
        metadata={"description": "End the account's API keys, too; they always end where its address was unconfirmed."},
    )


class PasswordChangeIn(Schema):
    current_password = Password()
    new_password = Password(metadata={"example": "correct horse battery"})
    revoke_api_keys = Flag(load_default=False, metadata={"description": "End the account's API keys, too."})


class EmailChangeIn(AddressIn):
    password = Password()


class ApiKeyIn(Schema):
    name = Line(100, required=True, metadata={"example": "Shop at the harbour"})
    scopes = fields.List(
        fields.Enum(Scope, by_value=True),
        required=True,
        validate=validate.Length(min=1, max=2 * len(Scope)),
        metadata={"description": "What it may do, of what your role may."},
    )
    expires_at = Time(allow_none=True, load_default=None, metadata={"description": "In the future; null: never."})
    test = Flag(
        load_default=False,
        metadata={"description": "Make a test key: its deliveries are its own world, and nobody is written to."},
    )


class ApiKeyRollIn(Schema):
    overlap_seconds = Whole(
        0, 7 * 86_400, load_default=86_400, metadata={"description": "For how long the old key works beside the new."}
    )


class ApiKeyOut(Schema):
    id = fields.UUID(required=True)
    name = Text(100, required=True, metadata={"example": "Shop at the harbour"})
    hint = Word(20, required=True, metadata={"example": "dms_live_...x7Qd"})
    scopes = fields.List(fields.Enum(Scope, by_value=True), required=True, validate=validate.Length(max=len(Scope)))
    test = fields.Boolean(required=True, metadata={"description": "Whether it sees and makes tests only."})
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)
    last_used_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "To five minutes; it does not raise the version."}
    )
    revoked_at = fields.AwareDateTime(required=True, allow_none=True)
    rolled_at = fields.AwareDateTime(required=True, allow_none=True)
    replaced_by = fields.UUID(
        required=True, allow_none=True, metadata={"description": "The key that it was rolled to."}
    )
    version = fields.Integer(required=True)


class NewApiKeyOut(ApiKeyOut):
    secret = Word(
        58,
        required=True,
        allow_none=True,
        metadata={"description": "The key itself, this once; null in the replay of an Idempotency-Key."},
    )


ApiKeyPage = page_of(ApiKeyOut)


def key_out(row: Any) -> dict[str, Any]:
    """Return what ApiKeyOut documents; `row` has the columns of ApiKey."""
    return {name: getattr(row, name) for name in ApiKeyOut().fields}


class InvitationIn(Schema):
    email = Email(required=True, metadata={"example": "kim@wheels.example"})
    role = fields.Enum(Role, by_value=True, required=True)
    name = Line(200, load_default=None, allow_none=True, metadata={"description": "For the greeting of the mail."})


class InvitationArgs(PageArgs):
    state = fields.Enum(InvitationState, by_value=True, load_default=None)


class InvitationOut(Schema):
    id = fields.UUID(required=True)
    email = Text(
        LONGEST_EMAIL,
        required=True,
        allow_none=True,
        metadata={"description": "Taken off 30 days after the invitation's end."},
    )
    name = Text(200, required=True, allow_none=True)
    role = fields.Enum(Role, by_value=True, required=True)
    state = fields.Enum(InvitationState, by_value=True, required=True)
    invited_by = fields.UUID(required=True, allow_none=True)
    user_id = fields.UUID(required=True, allow_none=True, metadata={"description": "The account it became."})
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True)
    accepted_at = fields.AwareDateTime(required=True, allow_none=True)
    revoked_at = fields.AwareDateTime(required=True, allow_none=True)


InvitationPage = page_of(InvitationOut)


class AcceptIn(TokenIn):
    name = Line(200, required=True, metadata={"example": "Kim Wheels"})
    password = Password()
