"""Tracking numbers: 12 random characters and a check character, in Crockford's base 32."""

import secrets

# Without I, L, O and U, which are misread (Crockford, "Base 32").
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_CHARACTERS = 12


def new_number() -> str:
    """Return a new number; 60 random bits cannot be guessed, nor derived from the delivery's id."""
    bits = secrets.randbits(5 * _RANDOM_CHARACTERS)
    body = "".join(ALPHABET[bits >> 5 * place & 31] for place in range(_RANDOM_CHARACTERS))
    return body + check_character(body)


def check_character(body: str) -> str:
    """Return the Luhn mod N character (ISO/IEC 7812-1, B): any wrong character shows, and nearly any swap of two."""
    total = 0
    for position, character in enumerate(reversed(body)):
        doubled = ALPHABET.index(character) * (2 - position % 2)
        total += doubled // len(ALPHABET) + doubled % len(ALPHABET)
    return ALPHABET[-total % len(ALPHABET)]


def is_number(text: str) -> bool:
    """Tell whether a text is a tracking number: that, not whether there is such a delivery."""
    body, last = text[:-1], text[-1:]
    known = len(body) == _RANDOM_CHARACTERS and set(text) <= set(ALPHABET)
    return known and check_character(body) == last
