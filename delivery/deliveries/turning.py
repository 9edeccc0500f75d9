"""Text as it is drawn by what draws from left to right: Arabic letters joined, right-to-left words turned.

Unicode Standard Annex 9 (the bidirectional algorithm) says in which order; python-bidi follows it, but for its rules L3
and L4, which it leaves to whoever draws: marks go after their letter, and brackets are mirrored. Points of Arabic and
Hebrew vowels are left out, as names are written.
"""

import re
from functools import cache

from arabic_reshaper import ArabicReshaper
from bidi import get_base_level, get_display
from bidi.mirror import MIRRORED

_POINTS = re.compile(r"[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]")
# A mark has the level of what stands before it (W1, and N0 for brackets). Put behind each bracket, one that nothing
# else has use for tells whether the bracket was turned: then it comes first.
_PROBE = "\u034f"  # combining grapheme joiner
_INVISIBLE = re.compile(f"[{_PROBE}\u061c]")  # in names they do nothing, and fonts have no glyph for them
_PAIRS = dict(MIRRORED)
_MIRRORED = "".join(map(re.escape, _PAIRS))
_BRACKET = re.compile(f"[{_MIRRORED}]")
_PROBED = re.compile(f"{_PROBE}([{_MIRRORED}])|([{_MIRRORED}]){_PROBE}")


def joined(text: str) -> str:
    """Return text, still as it is read, with each Arabic letter in the form that its neighbours ask for.

    Do it before breaking lines: a word that is broken keeps its forms.
    """
    return str(_reshaper().reshape(_POINTS.sub("", _INVISIBLE.sub("", text))))


def base_of(text: str) -> str:
    """Return the direction of text, "L" or "R": that of its first letter that has one (UAX 9, P2 and P3)."""
    return "R" if text and get_base_level(text) else "L"


def turned(line: str, *, base: str) -> str:
    """Return a line of text with the direction `base` in the order in which it is drawn, from left to right."""
    drawn = get_display(_BRACKET.sub(rf"\g<0>{_PROBE}", line), base_dir=base)
    return _PROBED.sub(lambda found: _PAIRS[found[1]] if found[1] else found[2], drawn)


@cache
def _reshaper() -> ArabicReshaper:
    # The ligature of the name of God, in Abdullah and many others, is in few fonts: its letters are joined instead.
    return ArabicReshaper({"ARABIC LIGATURE ALLAH": False})
