"""The shapes of a user, in and out."""

import re
import unicodedata
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

import phonenumbers
from marshmallow import ValidationError, fields, validate, validates_schema

from delivery.users import passwords, weaknesses
from delivery.users.states import Role
from delivery.web import Flag, Line, Schema, Text, Word
from delivery.web.paging import PageArgs, page_of

LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3
LONGEST_ZONE = 40
LONGEST_PASSWORD = weaknesses.LONGEST
# A character of the normal form can be typed as up to four: a letter and three marks.
_LONGEST_TYPED = 4 * LONGEST_PASSWORD
_ZONES = available_timezones()
_PLAIN = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[^\[\]]+")
_is_email = validate.Email()


def mailable(address: str) -> None:
    """Refuse what is no address, and what our mail cannot reach: quoted and non-ASCII names, hosts by number."""
    _is_email(address)
    if not _PLAIN.fullmatch(address):
        raise ValidationError(_is_email.default_message)


def folded(address: str) -> str:
    """Return the one form of an address: in lower case, the host as mail to it goes (RFC 3490); one account a mailbox.

    Raises:
        UnicodeError: mail cannot go there.
    """
    local, at, host = address.strip().rpartition("@")
    # lower() makes a plain k of the Kelvin sign: a look-alike is to be refused, not folded into somebody's name.
    local = local.lower() if local.isascii() else local
    return f"{local}{at}{_folded_host(host.lower())}" if at else host.lower()


@lru_cache(maxsize=1024)
def _folded_host(host: str) -> str:
    return host.encode("idna").decode("idna")


class Email(Line):
    """An e-mail address, in its one form."""

    def __init__(self, **options: Any) -> None:
        metadata = {"format": "email", "example": "ada@shop.example", **options.pop("metadata", {})}
        super().__init__(LONGEST_EMAIL, validate=[mailable], metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        try:
            return folded(super()._deserialize(value, attr, data, **options))
        except UnicodeError:
            raise ValidationError(_is_email.default_message) from None


def short_enough(password: str) -> None:
    """Refuse what is too long to hash; it counts as it is hashed, however its letters were typed."""
    if len(password) <= _LONGEST_TYPED and len(unicodedata.normalize("NFKC", password)) > LONGEST_PASSWORD:
        raise ValidationError(weaknesses.TOO_LONG)


class Password(fields.String):
    """A password as it was typed: no character is cut off or changed."""

    def __init__(self, **options: Any) -> None:
        checks: list[Any] = [validate.Length(max=_LONGEST_TYPED, error=weaknesses.TOO_LONG), short_enough]
        metadata = {"format": "password", "example": "correct horse battery", **options.pop("metadata", {})}
        super().__init__(required=True, load_only=True, validate=checks, metadata=metadata, **options)


_REFUSED_NUMBERS = (phonenumbers.PhoneNumberType.UNKNOWN, phonenumbers.PhoneNumberType.PREMIUM_RATE)


class Phone(Line):
    """A phone number, stored as E.164; it must be given with its country code."""

    default_error_messages = {"phone": "Must be a valid phone number with its country code, such as +442079460000."}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        metadata = {"format": "phone", "example": "+442079460000", **options.pop("metadata", {})}
        super().__init__(40, metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        text = super()._deserialize(value, attr, data, **options)
        if any(map(str.isalpha, text)):  # vanity numbers, extensions and URIs, which would be turned or cut to digits
            raise self.make_error("phone")
        try:
            number = phonenumbers.parse(text)
        except phonenumbers.NumberParseException:
            raise self.make_error("phone") from None
        if phonenumbers.number_type(number) in _REFUSED_NUMBERS:
            raise self.make_error("phone")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def known_zone(name: str) -> None:
    """Refuse a name that is not in the IANA time zone database."""
    if name not in _ZONES:
        raise ValidationError("Must be an IANA time zone, such as Europe/Berlin.")


def zone_field(*, description: str | None = None, **options: Any) -> fields.String:
    """Build a field for a time zone's name in the IANA database."""
    said = {"description": description} if description else {}
    metadata = {"format": "time-zone", "example": "Europe/Berlin", "maxLength": LONGEST_ZONE, **said}
    return fields.String(validate=known_zone, metadata=metadata, **options)


def locale_field(**options: Any) -> fields.String:
    """Build a field for a language tag (BCP 47), such as en or pt-BR."""
    options.setdefault("metadata", {}).setdefault("example", "en")
    tag = validate.Regexp(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}\Z", error="Must be a language tag, such as en or pt-BR.")
    return fields.String(validate=[tag, validate.Length(max=15)], **options)


class UserIn(Schema):
    name = Line(200, required=True, metadata={"example": "Ada Shop"})
    email = Email(required=True, metadata={"example": "ada@shop.example"})
    password = Password(metadata={"example": "correct horse battery"})
    phone = Phone(allow_none=True, load_default=None)
    locale = locale_field(load_default="en")
    time_zone = zone_field(load_default="UTC")
    role = fields.Enum(
        Role, by_value=True, load_default=Role.CUSTOMER, metadata={"description": "Only an admin may set it."}
    )

    @validates_schema(skip_on_field_errors=False)
    def check_strength(self, data: dict[str, Any], **_: Any) -> None:
        own = [data[name] for name in ("name", "email") if name in data]
        weakness = passwords.weakness_of(data["password"], own=own) if "password" in data else None
        if weakness:
            raise ValidationError(weakness, "password")


class UserPatch(Schema):
    name = Line(200)
    phone = Phone(allow_none=True)
    locale = locale_field()
    time_zone = zone_field()
    role = fields.Enum(Role, by_value=True, metadata={"description": "Only an admin may change it."})
    active = Flag(metadata={"description": "Only an admin may change it."})


class UserOut(Schema):
    id = fields.UUID(required=True)
    name = Text(200, required=True, metadata={"example": "Ada Shop"})
    email = Text(LONGEST_EMAIL, required=True, allow_none=True, metadata={"example": "ada@shop.example"})
    phone = Word(16, required=True, allow_none=True, metadata={"example": "+442079460000"})
    role = fields.Enum(Role, by_value=True, required=True)
    locale = Word(15, required=True, metadata={"example": "en"})
    time_zone = Word(LONGEST_ZONE, required=True, metadata={"example": "Europe/Berlin"})
    active = fields.Boolean(required=True)
    email_verified_at = fields.AwareDateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


UserPage = page_of(UserOut)


class UserArgs(PageArgs):
    role = fields.Enum(Role, by_value=True, load_default=None)
    active = fields.Boolean(load_default=None)
    verified = fields.Boolean(load_default=None, metadata={"description": "Whether the address is confirmed."})
    q = Line(100, load_default=None, metadata={"description": "Part of the name or the address.", "example": "ada"})


class Accepted(Schema):
    detail = Text(500, required=True, metadata={"example": "If there is such an account, a mail is on its way."})


def user_out(row: Any) -> dict[str, Any]:
    """Return what UserOut documents; `row` has the columns of User."""
    return {
        "id": row.id,
        "name": row.name,
        "email": row.email,
        "phone": row.phone,
        "role": row.role,
        "locale": row.locale,
        "time_zone": row.time_zone,
        "active": row.active,
        "email_verified_at": row.email_verified_at,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
