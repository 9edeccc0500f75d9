"""A letter as a mail (RFC 5322), written by Flask-Mail, in ASCII and ready for the wire."""

import contextlib
import re
from email.charset import QP, Charset
from email.mime.text import MIMEText

from flask_mail import Message

from delivery import clock
from delivery.notifications.channels import Failure, Letter

LONGEST_LINE = 900  # RFC 5322, 2.1.1: 998 octets
# RFC 5321, 4.1.2, without the quoted form: nothing in it can end the address.
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")


def write(letter: Letter, *, message_id: str, sender: str) -> bytes:
    """Return what follows DATA, the final dot included.

    Raises:
        Failure: the address is none.
    """
    message = _Mail(
        subject=_one_line(letter.subject),
        recipients=[wire_address(letter.address)],
        body=letter.text,
        html=letter.html or None,
        sender=sender,
        date=clock.now().timestamp(),
        # RFC 3834: no holiday notes in answer to this.
        extra_headers={"Auto-Submitted": "auto-generated"} | _headers(letter),
    )
    message.msgId = f"<{message_id}>"
    return _on_the_wire(message.as_bytes())


def wire_address(address: str) -> str:
    """Return an address in ASCII, with no room in it for another recipient, command or header.

    Raises:
        Failure: it is not one.
    """
    local, _, domain = address.rpartition("@")
    with contextlib.suppress(UnicodeError):
        plain = f"{local}@{domain.encode('idna').decode()}"
        if _PLAIN_ADDRESS.fullmatch(plain):
            return plain
    raise Failure("bad_address", "This is not an address that mail can be sent to.", permanent=True)


class _Mail(Message):
    """Flask-Mail's message, with bodies in ASCII: 8-bit ones and long lines are not for every server."""

    def _mimetext(self, text: str | None, subtype: str = "plain") -> MIMEText:
        words = text or ""
        simple = words.isascii() and all(len(line) < LONGEST_LINE for line in words.splitlines())
        charset = Charset("utf-8")
        charset.body_encoding = None if simple else QP  # type: ignore[assignment]  # 7 bits need no encoding
        return MIMEText(words, _subtype=subtype, _charset=charset)  # type: ignore[arg-type]  # as documented


def _headers(letter: Letter) -> dict[str, str]:
    return {name: _one_line(value) for name, value in letter.headers.items()}


def _one_line(text: str) -> str:
    """A header's value cannot begin a second header."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _on_the_wire(content: bytes) -> bytes:
    """CRLF at every line's end, dots doubled at its beginning, the final dot last (RFC 5321, 4.5.2)."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"
