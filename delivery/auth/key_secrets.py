"""What an API key looks like: made here, known again by its hash, and told from a typo without asking anybody.

`dms_live_` or, for tests, `dms_test_`, 43 random characters of 0-9 A-Z a-z (256 bits), and 6 that are the CRC-32 of all
before, in base 62. So scanners of code find our keys by `dms_(live|test)_[0-9A-Za-z]{49}` and see by the checksum that
it is one; and whoever reads it, in a log or a setting, sees what it can do.
"""

import hashlib
import re
import secrets
import string
import zlib

LIVE, TEST = PREFIXES = ("dms_live_", "dms_test_")
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECK = 43, 6  # 62 ** 43 > 2 ** 256, 62 ** 6 > 2 ** 32
_SHAPE = re.compile(rf"(?:{LIVE}|{TEST})[0-9A-Za-z]{{{_RANDOM + _CHECK}}}", re.ASCII)


def new_secret(*, prefix: str) -> str:
    """Return a new key; it is shown once, and only its hash is kept."""
    body = prefix + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM))
    return body + _checksum(body)


def digest_of(secret: str) -> bytes | None:
    """Return the hash that a key is kept as; None for what cannot be a key.

    A plain SHA-256 will do: nobody guesses 256 random bits, as they would a password.
    """
    if not _SHAPE.fullmatch(secret) or _checksum(secret[:-_CHECK]) != secret[-_CHECK:]:
        return None
    return hashlib.sha256(secret.encode()).digest()


def hint_of(secret: str) -> str:
    """Return what may be shown of a key for ever, so that its owner knows which it is."""
    return f"{secret[: len(LIVE)]}...{secret[-4:]}"


def _checksum(body: str) -> str:
    value, written = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        value, digit = divmod(value, len(_DIGITS))
        written = _DIGITS[digit] + written
    return written
