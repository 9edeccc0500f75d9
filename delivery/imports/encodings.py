"""How the bytes of a file become text: a byte order mark says it, UTF-8 proves itself, the rest is a guess."""

import codecs
import re
from collections.abc import Iterable, Iterator

from charset_normalizer import from_bytes

from delivery.imports.files import Unreadable

# What may be declared.
ENCODINGS = (
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254",
    "cp1255", "cp1256", "cp1257", "iso8859-1", "iso8859-2", "iso8859-15", "mac-roman", "koi8-r", "shift_jis", "gb18030",
    "big5", "euc_kr",
)  # fmt: skip
# What is guessed at; where several fit alike, the first: short texts in Western Europe's fit its neighbours', too.
_GUESSED = ("cp1252", "cp1250", "cp1251", "cp1257", "cp1253", "cp1254", "koi8_r", "shift_jis", "gb18030", "euc_kr")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_KINDS = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old kind"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLite format 3", "a database"),
)
_LONGEST_SAMPLE = 32_768
_ODD = re.compile(
    "[a-zA-Z\u00c0-\u024f][\u00a2-\u00a9\u00ac-\u00b9\u00bc-\u00be]|[\u00a2-\u00a9\u00ac-\u00b9\u00bc-\u00be][a-zA-Z\u00c0-\u024f]"
)


def refuse_other_kinds(head: bytes) -> None:
    """Refuse what is no text at all, whatever its name says.

    Raises:
        Unreadable: it begins as files of another kind do.
    """
    for signature, kind in _KINDS:
        if head.startswith(signature):
            detail = f"The file is {kind}, not text; save it as CSV and send that."
            raise Unreadable(detail, code="not_text")


def detect(pieces: Iterable[bytes]) -> tuple[str, bool]:
    """Return a file's encoding, and whether it is a guess.

    Raises:
        Unreadable: it is no text, or in no encoding that we know.
    """
    decoder, sample, head = codecs.getincrementaldecoder("utf-8")(), bytearray(), b""
    is_utf8 = True
    for piece in pieces:
        if not head:
            head = piece[:4096]
            known = _by_its_head(head)
            if known:
                return known, False
        is_utf8 = is_utf8 and _is_good(decoder, piece)
        if not is_utf8 and len(sample) < _LONGEST_SAMPLE:
            sample += _telling(piece)[:_LONGEST_SAMPLE]
    if is_utf8 and _is_good(decoder, b"", final=True):
        return "utf-8", False
    return _guess(bytes(sample) or head), True


def text(pieces: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Decode a file piece by piece.

    Raises:
        Unreadable: it is not in this encoding.
    """
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    try:
        for piece in pieces:
            decoded = decoder.decode(piece)
            line += decoded.count("\n")
            yield decoded
        yield decoder.decode(b"", final=True)
    except UnicodeError:
        detail = f"The file is not {encoding} throughout: see line {line} and those after it. Declare its `encoding`."
        raise Unreadable(detail, code="wrong_encoding") from None


def _by_its_head(head: bytes) -> str | None:
    refuse_other_kinds(head)
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    even, odd = head[::2].count(0), head[1::2].count(0)
    if even + odd == 0:
        return None
    # Western text in UTF-16 without a mark: every other byte is 0.
    if odd > len(head) / 4 and even < odd / 10:
        return "utf-16-le"
    if even > len(head) / 4 and odd < even / 10:
        return "utf-16-be"
    raise Unreadable("The file is not text; save it as CSV and send that.", code="not_text")


def _is_good(decoder: codecs.IncrementalDecoder, piece: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError:
        return False
    return True


def _telling(piece: bytes) -> bytes:
    """Return the lines that are not plain ASCII: they tell one encoding from another."""
    return b"\n".join(line for line in piece.splitlines() if not line.isascii())


def _guess(sample: bytes) -> str:
    found = {
        name: (_oddities(str(match)), match.chaos, -match.coherence, _GUESSED.index(name))
        for match in from_bytes(sample, cp_isolation=list(_GUESSED))
        for name in match.could_be_from_charset
        if name in _GUESSED
    }
    if not found:
        raise Unreadable("The file's encoding is none that we know; save it as UTF-8.", code="unknown_encoding")
    return min(found, key=lambda name: found[name])


def _oddities(decoded: str) -> int:
    """Count signs beside letters: of Polish, Western Europe's encoding makes 'Micha³', and of Russian worse."""
    return len(_ODD.findall(decoded))
