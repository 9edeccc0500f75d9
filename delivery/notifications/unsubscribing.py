"""The link in every mail about a delivery by which its reader asks for no more of them (RFC 8058)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from flask import current_app

from delivery.tokens import Purpose, invalid_token, issue_text, read_text

PATH = "/unsubscribe"
# Stands where a test has no reader: whoever makes a test delivery must not get a link that speaks for somebody else.
SAMPLE = f"https://delivery.example{PATH}/c2FtcGxl"
_HASH_BYTES = 32


def link(address_hash: bytes, *, message_id: UUID) -> str:
    """Return a reader's own page: it says who they are by the hash (opt_outs.address_hash), with no address in it."""
    token = issue_text(Purpose.UNSUBSCRIBE, urlsafe_b64encode(address_hash + message_id.bytes).decode())
    return f"{current_app.config['PUBLIC_BASE_URL']}{PATH}/{token}"


def headers(url: str) -> dict[str, str]:
    """Return the headers that make mail programs show a button (RFC 2369, RFC 8058)."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def reader_of(token: str) -> tuple[bytes, UUID]:
    """Return the hash of the address that a link was written to, and the id of the message it stood in.

    Raises:
        Malformed: forged, cut, too old, or made for another purpose; the answer does not tell which.
    """
    try:
        raw = urlsafe_b64decode(read_text(Purpose.UNSUBSCRIBE, token))
        return raw[:_HASH_BYTES], UUID(bytes=raw[_HASH_BYTES:])
    except ValueError:
        raise invalid_token() from None
