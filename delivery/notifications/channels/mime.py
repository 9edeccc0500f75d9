"""A letter as a mail (RFC 5322), in ASCII and ready for the wire.

Flask-Mail writes one mail a sender, as a frame; the letters are filled into it. Writing each by email.generator takes
more than a millisecond, twenty times what the rest of a mail costs.
"""

import binascii
import contextlib
import functools
import re
from base64 import b64encode
from email.charset import Charset
from email.mime.text import MIMEText
from email.utils import formatdate
from typing import NamedTuple

from flask_mail import Message

from delivery import clock
from delivery.notifications.channels import Failure, Letter

# RFC 5322, 2.1.1: 998 octets, and better no more than 78.
_LONGEST_LINE, _GOOD_LINE = 900, 76
# RFC 5321, 4.1.2, without the quoted form: nothing in it can end the address.
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_MAILBOX = re.compile(r'\s*"?(?P<name>[^<>]*?)"?\s*<(?P<address>[^<>]+)>')
# A number for one of these means another character or none (WHATWG, HTML, 13.2.5.80).
_NONE_AT_ALL = "".join(chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF))
_NUMBERLESS = re.compile(f"[\x80-\x9f\ufdd0-\ufdef{_NONE_AT_ALL}]")
_BEYOND_ASCII = re.compile(r"[^\0-\x7f]+")
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
# RFC 2047, 2: an encoded word has at most 75 characters; so many bytes fit, and characters must not be cut.
_WORD_BYTES = 42


class Frame(NamedTuple):
    """A mail with gaps: bytes to format, and the boundaries of its parts, which no part may hold."""

    pattern: bytes
    boundaries: tuple[str, ...]


def write(letter: Letter, *, message_id: str, sender: str) -> bytes:
    """Return what follows DATA, the final dot included.

    Raises:
        Failure: the address is none.
    """
    return _dotted(content(letter, message_id=message_id, sender=sender)) + b".\r\n"


def content(letter: Letter, *, message_id: str, sender: str) -> bytes:
    """Return a mail as a mailbox keeps it.

    Raises:
        Failure: the address is none.
    """
    frame = _frame(sender, bool(letter.html))
    filled = frame.pattern % {
        b"subject": _header("Subject", letter.subject),
        b"to": wire_address(letter.address).encode(),
        b"date": _date(int(clock.now().timestamp())),
        b"id": message_id.encode(),
        b"headers": b"".join(b"%b: %b\n" % (name.encode(), _header(name, it)) for name, it in letter.headers.items()),
        b"text": _part(letter.text, frame),
        b"html": _part(_in_ascii(letter.html), frame),
    }
    return filled.replace(b"\n", b"\r\n")


def wire_address(address: str) -> str:
    """Return an address in ASCII, with no room in it for another recipient, command or header.

    Raises:
        Failure: it is not one.
    """
    if _PLAIN_ADDRESS.fullmatch(address):
        return address
    local, _, domain = address.rpartition("@")
    with contextlib.suppress(UnicodeError):
        plain = f"{local}@{domain.encode('idna').decode()}"
        if _PLAIN_ADDRESS.fullmatch(plain):
            return plain
    raise Failure("bad_address", "This is not an address that mail can be sent to.", permanent=True)


def mailbox(sender: str) -> tuple[str, str]:
    """Return the name and the address of MAIL_FROM; parseaddr takes a comma in a name for the end of an address."""
    match = _MAILBOX.fullmatch(sender.strip())
    return (match["name"], match["address"]) if match else ("", sender.strip())


@functools.lru_cache(maxsize=16)
def _frame(sender: str, html: bool) -> Frame:  # noqa: FBT001  a key of the cache
    name, address = mailbox(sender)
    message = _Mail(
        subject="subject-goes-here",
        recipients=["to@goes.here"],
        body="text-goes-here",
        html="html-goes-here" if html else None,
        sender='"{}" <{}>'.format(re.sub(r'(["\\])', r"\\\1", name), address) if name else address,
        # RFC 3834: no holiday notes in answer to this.
        extra_headers={"Auto-Submitted": "auto-generated", "Headers": "go-here"},
    )
    message.msgId = "<id@goes.here>"
    written = message.as_bytes().replace(b"\r\n", b"\n").removesuffix(b"\n")
    boundaries = tuple(one.decode() for one in re.findall(rb'boundary="([^"]+)"', written))
    return Frame(_with_gaps(written), boundaries)


def _with_gaps(written: bytes) -> bytes:
    pattern = re.sub(rb"(?m)^Date: .*$", b"Date: date-goes-here", written).replace(b"%", b"%%")
    # Without a page there is one part, whose encoding stands among the mail's own headers: last, as in the others.
    encoding = b"Content-Transfer-Encoding: 7bit\n"
    if b"html-goes" not in pattern:
        pattern = pattern.replace(encoding, b"").replace(b"\n\ntext-goes", b"\n" + encoding + b"\ntext-goes")
    for filler, gap in (
        (b"subject-goes-here", b"%(subject)b"),
        (b"to@goes.here", b"%(to)b"),
        (b"date-goes-here", b"%(date)b"),
        (b"id@goes.here", b"%(id)b"),
        (b"Headers: go-here\n", b"%(headers)b"),
        (b"7bit\n\ntext-goes-here", b"%(text)b"),
        (b"7bit\n\nhtml-goes-here", b"%(html)b"),
    ):
        pattern = pattern.replace(filler, gap, 1)
    return pattern + b"\n"


class _Mail(Message):
    """Flask-Mail's message with bodies in 7 bits; it would encode ASCII, too."""

    def _mimetext(self, text: str | None, subtype: str = "plain") -> MIMEText:
        charset = Charset("utf-8")
        charset.body_encoding = None  # type: ignore[assignment]
        return MIMEText(text or "", _subtype=subtype, _charset=charset)  # type: ignore[arg-type]  # as documented


def _part(text: str, frame: Frame) -> bytes:
    """Return the rest of a part from the name of its encoding on.

    A boundary is seen by whoever gets a mail, and might come back in the name of a thing; quoted, its signs of equality
    are no longer any.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _is_plain(text) and not any(one in text for one in frame.boundaries):
        return b"7bit\n\n" + text.encode()
    return b"quoted-printable\n\n" + binascii.b2a_qp(text.encode("utf-8", "replace"), istext=True)


def _is_plain(text: str) -> bool:
    """Whether every server takes it as it is: no 8-bit or control characters, no long lines."""
    return text.isascii() and max(map(len, text.split("\n"))) < _LONGEST_LINE and not _CONTROL.search(text)


def _in_ascii(html: str) -> str:
    """Name characters by their numbers, which is fast and short, and the same to a reader; not so within a style."""
    if html.isascii() or not html[html.find("<style") : html.rfind("</style")].isascii():
        return html
    if _NUMBERLESS.search("".join(_BEYOND_ASCII.findall(html))):  # a search of the whole takes five times as long
        return html
    return html.encode("ascii", "xmlcharrefreplace").decode()


@functools.lru_cache(maxsize=4)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, localtime=True).encode()


def _header(name: str, value: str) -> bytes:
    """A header's value cannot begin a second one. Lines break at spaces, so that a List-Unsubscribe stays legible."""
    if not value.isprintable():
        value = "".join(one if one.isprintable() else " " for one in value)
    value = " ".join(value.split())
    words = value.split(" ")
    if not value.isascii() or "=?" in value or max(map(len, words)) > _LONGEST_LINE:
        return "\n ".join(_encoded_words(value)).encode()
    if len(name) + len(value) < _GOOD_LINE:
        return value.encode()
    lines, room = [words[0]], _GOOD_LINE - len(name) - len(words[0])
    for word in words[1:]:
        room -= len(word) + 1
        lines.append(f" {word}" if room > 0 else f"\n {word}")
        room = room if room > 0 else _GOOD_LINE - len(word)
    return "".join(lines).encode()


def _encoded_words(value: str) -> list[str]:
    words, chunk = [], b""
    for one in value:
        more = one.encode("utf-8", "replace")
        if len(chunk) + len(more) > _WORD_BYTES:
            words.append(chunk)
            chunk = b""
        chunk += more
    return [f"=?utf-8?b?{b64encode(part).decode()}?=" for part in (*words, chunk)]


def _dotted(mail: bytes) -> bytes:
    """Double the dots at the beginnings of lines (RFC 5321, 4.5.2)."""
    return mail.replace(b"\r\n.", b"\r\n..")
