"""What makes a new password too easy to guess: too short, common, one's own words, a pattern.

NIST SP 800-63B-4, 3.1.1.2: length counts, composition rules do not; the whole password is compared, not what it
contains. Everything is compared after NFKC and casefold: what differs only in how it is written is guessed as one.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

LONGEST = 128  # characters of the normal form; long enough for any passphrase, short enough to hash
TOO_LONG = f"Must have at most {LONGEST} characters."
# Its head names its source and licence.
_COMMON = Path(__file__).with_name("common_passwords.txt")
_SHORTEST_COMMON = 8
# A shorter common word is one all the same when no more than this stands behind it.
_SHORTEST_WORD, _LONGEST_END = 5, 8
# Each in both directions, and round again.
_TRACKS = (
    "abcdefghijklmnopqrstuvwxyz",
    "1234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
)
_STEPS = frozenset(
    pair for track in _TRACKS for a, b in pairwise(track + track[0]) for pair in (a + b, b + a)
)  # fmt: skip
# A plain sequence leaves its track for no more than one character in so many.
_SHORTEST_RUN = 4


def weakness_of(password: str, *, shortest: int, own: Iterable[str] = ()) -> str | None:
    """Say what is wrong with a new password.

    Args:
        password: in its normal form.
        shortest: how many characters it must have.
        own: names, addresses: what whoever knows the person tries first.
    """
    if len(password) < shortest:
        return f"Must have at least {shortest} characters."
    if len(password) > LONGEST:
        return TOO_LONG
    text = _folded(password)
    if _repeats(text, shortest=shortest) or _is_sequence(text):
        return "Must be more than a pattern, such as abcabcabc or 12345678; several unrelated words are good."
    if _is_common(text):
        return "Is one of the passwords that are tried first; several unrelated words are good."
    if _is_own(text, own):
        return "Must be more than your name, your address or ours; several unrelated words are good."
    return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _repeats(text: str, *, shortest: int) -> bool:
    """Tell whether a unit that would be too short alone comes again and again, with or without what is no letter."""
    letters = re.sub(r"[\d\W_]", "", text)
    return any(
        one[length:] == one[:-length]
        for one in (text, letters if 2 * len(letters) > len(text) else text)
        for length in range(1, min(shortest, len(one) // 2 + 1))
    )


def _is_sequence(text: str) -> bool:
    leaps = sum(a != b and a + b not in _STEPS for a, b in pairwise(text))
    return leaps * _SHORTEST_RUN < len(text)


def _is_common(text: str) -> bool:
    """Tell whether it is a common password, also with digits and punctuation at its end."""
    stem = re.sub(r"[\d\W_]+\Z", "", text)
    is_short = _SHORTEST_WORD <= len(stem) < _SHORTEST_COMMON
    carries = len(stem) >= _SHORTEST_COMMON or (is_short and len(text) - len(stem) <= _LONGEST_END)
    return any(f"\n{one}\n" in _common_passwords() for one in ((text, stem) if carries else (text,)))


@cache
def _common_passwords() -> str:
    """Return the list as one text: to search it takes a fraction of a hash, and a set takes ten times the memory."""
    _head, _, passwords = _COMMON.read_text(encoding="utf-8").partition("\n\n")
    return f"\n{passwords}"


def _is_own(text: str, own: Iterable[str]) -> bool:
    """Tell whether nothing is left but digits and punctuation when one's own words are taken away."""
    known = [_folded(said) for said in own]
    known += [re.sub("['\u2019]", "", said) for said in known]  # O'Neil is Neil and ONeil
    words = {word for said in known for word in re.findall(r"[^\W_]+", said)}
    initials = {word for word in words if len(word) == 1}
    rest = text
    for word in sorted(words - initials, key=len, reverse=True):
        rest = rest.replace(word, " ")
    return rest != text and set(re.findall(r"[^\W\d_]+", rest)) <= initials
