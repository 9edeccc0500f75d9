"""The link in every mail about a delivery by which its reader asks for no more of them (RFC 8058)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from uuid import UUID

from flask import current_app

from delivery.tokens import Purpose, issue, read


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a mail, by the keyed hash of the address, and the message that it was, by its id."""

    address_hash: bytes
    message_id: UUID
    locale: str


def link(reader: Reader) -> str:
    """Return the address of a reader's own page; it holds no address of theirs."""
    claims = {"h": _text(reader.address_hash), "m": _text(reader.message_id.bytes), "l": reader.locale}
    return f"{current_app.config['PUBLIC_BASE_URL']}/unsubscribe/{issue(Purpose.UNSUBSCRIBE, claims)}"


def headers(url: str) -> dict[str, str]:
    """Return the headers that make mail programs show a button (RFC 2369, RFC 8058)."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def reader_of(token: str) -> Reader:
    """Return whom a link was written for.

    Raises:
        Malformed: forged, cut, too old, or made for another purpose; the answer does not tell which.
    """
    claims = read(Purpose.UNSUBSCRIBE, token)
    return Reader(_bytes(claims["h"]), UUID(bytes=_bytes(claims["m"])), claims["l"])


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
