"""The shapes of signing in."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from delivery.users.schemas import LONGEST_EMAIL, LONGEST_PASSWORD, Email
from delivery.web import Schema


class LoginIn(Schema):
    """RFC 6749, 4.3.2, as a form; the same with `email` as JSON."""

    username = fields.String(
        validate=validate.Length(max=LONGEST_EMAIL), metadata={"description": "The e-mail address."}
    )
    email = fields.String(validate=validate.Length(max=LONGEST_EMAIL))
    password = fields.String(required=True, load_only=True, validate=validate.Length(max=LONGEST_PASSWORD))
    grant_type = fields.String(validate=validate.OneOf(["password"]))
    scope = fields.String(validate=validate.Length(max=200))
    client_id = fields.String(validate=validate.Length(max=200))
    client_secret = fields.String(load_only=True, validate=validate.Length(max=200))

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def has_a_name(self, _data: Any, sent: Any, **_: Any) -> None:
        if isinstance(sent, Mapping) and not (sent.get("username") or sent.get("email")):
            raise ValidationError("Missing data for required field.", "username")


class TokenOut(Schema):
    access_token = fields.String(required=True)
    token_type = fields.String(required=True, validate=validate.OneOf(["Bearer"]))
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})


class AddressIn(Schema):
    email = Email(required=True)


class TokenIn(Schema):
    token = fields.String(required=True, validate=validate.Length(max=1000))
