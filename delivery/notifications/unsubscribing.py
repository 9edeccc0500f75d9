"""The link in every mail about a delivery by which its reader asks for no more of them (RFC 8058)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from flask import current_app

from delivery.tokens import Purpose, issue, read

PATH = "/unsubscribe"


def link(address_hash: bytes, *, message_id: UUID) -> str:
    """Return a reader's own page: it says who they are by the hash (opt_outs.address_hash), with no address in it."""
    claims = {"h": _text(address_hash), "m": _text(message_id.bytes)}
    return f"{current_app.config['PUBLIC_BASE_URL']}{PATH}/{issue(Purpose.UNSUBSCRIBE, claims)}"


def headers(url: str) -> dict[str, str]:
    """Return the headers that make mail programs show a button (RFC 2369, RFC 8058)."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def reader_of(token: str) -> tuple[bytes, UUID]:
    """Return the hash of the address that a link was written to, and the id of the message it stood in.

    Raises:
        Malformed: forged, cut, too old, or made for another purpose; the answer does not tell which.
    """
    claims = read(Purpose.UNSUBSCRIBE, token)
    return _bytes(claims["h"]), UUID(bytes=_bytes(claims["m"]))


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
