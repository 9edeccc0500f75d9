"""How many segments a text message takes: what a provider counts and charges for (3GPP TS 23.038 and 23.040)."""

from collections.abc import Sequence

# Table 6.2.1: one septet each.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Table 6.2.1.1: behind an escape, so two septets each.
_EXTENDED = frozenset("\f^{}\\[~]|€")
# Units in a message of one segment, and in each of several: six octets then say which part it is.
_SEPTETS, _UTF16 = (160, 153), (70, 67)
_BEYOND_BMP = 0xFFFF


def segments_of(text: str) -> int:
    """Count a text's segments: in GSM 7-bit where every character allows it, else in UTF-16.

    No character is split between two segments, as phones and Twilio have it.
    """
    sizes, (alone, each) = _sizes(text)
    if sum(sizes) <= alone:
        return 1
    count, used = 1, 0
    for size in sizes:
        if used + size > each:
            count, used = count + 1, 0
        used += size
    return count


def _sizes(text: str) -> tuple[Sequence[int], tuple[int, int]]:
    if _BASIC.union(_EXTENDED).issuperset(text):
        return [2 if character in _EXTENDED else 1 for character in text], _SEPTETS
    return [2 if ord(character) > _BEYOND_BMP else 1 for character in text], _UTF16
