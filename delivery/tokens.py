"""Signed links: itsdangerous, one salt and one age per purpose. And keyed hashes, for what must be known again only."""

import hmac
from enum import StrEnum
from functools import lru_cache
from typing import Any

from flask import current_app
from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

from delivery.errors import Malformed


class Purpose(StrEnum):
    VERIFY_EMAIL = "verify-email"
    RESET_PASSWORD = "reset-password"  # noqa: S105  # no password
    CHANGE_EMAIL = "change-email"
    INVITATION = "invitation"
    UNSUBSCRIBE = "unsubscribe"


MAX_AGE_SECONDS: dict[Purpose, int] = {
    Purpose.VERIFY_EMAIL: 24 * 3600,
    Purpose.RESET_PASSWORD: 30 * 60,
    Purpose.CHANGE_EMAIL: 24 * 3600,
    Purpose.INVITATION: 7 * 24 * 3600,
    # Mails are kept, and whoever finds one years later may still want no more of them.
    Purpose.UNSUBSCRIBE: 2 * 365 * 24 * 3600,
}


def issue(purpose: Purpose, claims: dict[str, Any]) -> str:
    """Sign claims for one purpose; a token of another purpose has another salt and does not verify."""
    return _serializer(purpose).dumps(claims)


def read(purpose: Purpose, token: str) -> dict[str, Any]:
    """Return a token's claims.

    Raises:
        Malformed: forged, too old, or made for another purpose; the answer does not tell which.
    """
    try:
        claims = _serializer(purpose).loads(token, max_age=MAX_AGE_SECONDS[purpose])
    except BadData:
        raise invalid_token() from None
    return dict(claims)


def issue_text(purpose: Purpose, text: str) -> str:
    """Sign a text of A-Z, a-z, 0-9, - and _ for one purpose: shorter than claims, for a link in every mail."""
    return _signer(purpose).sign(text).decode()


def read_text(purpose: Purpose, token: str) -> str:
    """Return a token's text.

    Raises:
        Malformed: as read() does.
    """
    try:
        return _signer(purpose).unsign(token, max_age=MAX_AGE_SECONDS[purpose]).decode()
    except (BadData, UnicodeError):
        raise invalid_token() from None


def keyed_hash(purpose: str, text: str) -> bytes:
    """Return 32 bytes that tell whether two texts are the same, and nothing else to whoever lacks SECRET_KEY.

    A plain hash of an address or a telephone number is soon guessed. Another purpose gives another hash.
    """
    return hmac.digest(_key(current_app.config["SECRET_KEY"], purpose), text.encode(), "sha256")


@lru_cache(maxsize=64)
def _key(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"delivery.{purpose}".encode(), "sha256")


def invalid_token() -> Malformed:
    """Build the one error of every link that does not work (any more)."""
    return Malformed("This link is not valid, or no longer is; ask for a new one.", code="invalid_token")


def _serializer(purpose: Purpose) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt=f"delivery.{purpose}")


def _signer(purpose: Purpose) -> TimestampSigner:
    return TimestampSigner(current_app.config["SECRET_KEY"], salt=f"delivery.{purpose}")
