"""What a refused cell was probably meant to be: a suggestion to whoever puts it right, never taken by itself."""

import re
from difflib import get_close_matches
from functools import cache, lru_cache

import phonenumbers
from babel import Locale
from babel.languages import get_official_languages

_ALSO = {"uk": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "usa": "US", "holland": "NL"}
# Countries are known by their names in these, where they are at home; each costs a megabyte of memory.
_LANGUAGES = ("cs", "da", "de", "es", "fi", "fr", "it", "nb", "nl", "pl", "pt", "sv")
_UNITS = {
    "grams": {"g": 1, "kg": 1000, "lb": 453.59237, "lbs": 453.59237, "oz": 28.349523125},
    "mm": {"mm": 1, "cm": 10, "m": 1000, "in": 25.4},
}
_AMOUNT = re.compile(r"(\d[\d.,']*)([a-z]*)")
_GROUPED = re.compile(r"\d{1,3}(?:[.,']\d{3})+")
_FRACTION = re.compile(r"(\d+)[.,](\d+)")
_MOST_DIGITS = 15
# A weight in grams has no fraction; a smaller number with one is of kilograms.
_HEAVY_KILOGRAMS = 100


@cache
def country_codes() -> frozenset[str]:
    """Return all codes of countries (ISO 3166-1 alpha-2)."""
    return frozenset(str(code) for code in Locale("en").territories if re.fullmatch("[A-Z]{2}", str(code)))


@lru_cache(maxsize=1024)
def country(cell: str) -> str | None:
    """Return the code of the country of this name: in English, or as it is called at home."""
    names = _countries()
    near = get_close_matches(cell.casefold(), names, n=1, cutoff=0.8)
    return names[near[0]] if near else None


@cache
def _countries() -> dict[str, str]:
    english = Locale("en").territories
    at_home = {
        Locale(language).territories[code].casefold(): code
        for language in _LANGUAGES
        for code in country_codes()
        if language in get_official_languages(code, de_facto=True)
    }
    return at_home | {english[code].casefold(): code for code in country_codes()} | _ALSO


def whole(cell: str, *, unit: str | None) -> str | None:
    """Return the whole number that is meant by one with spaces, thousands apart, a unit, or no more than zeros behind.

    `unit` is what the number counts: grams, mm, or None.
    """
    match = _AMOUNT.fullmatch(re.sub(r"\s", "", cell).lower())
    if match is None or len(match[1]) > _MOST_DIGITS:
        return None
    amount, named = match.groups()
    factor = _UNITS.get(unit or "", {}).get(named) if named else 1
    value = None if factor is None else _value(amount, in_kilograms=unit == "grams" and not named)
    if value is None or factor is None or (named and _GROUPED.fullmatch(amount)):  # 1.200 kg: one, or a thousand?
        return None
    meant = round(value * factor)
    return str(meant) if meant >= 1 and (named or meant == value) else None


def _value(amount: str, *, in_kilograms: bool) -> float | None:
    if amount.isdigit():
        return int(amount)
    if _GROUPED.fullmatch(amount):
        return int(re.sub(r"\D", "", amount))
    match = _FRACTION.fullmatch(amount)
    if match is None:
        return None
    value = float(f"{match[1]}.{match[2]}")
    if in_kilograms and match[2].strip("0") and value < _HEAVY_KILOGRAMS:
        return round(value * 1000)
    return value


def phone(cell: str, country: str | None) -> str | None:
    """Return what a telephone number is with the country code of where the delivery goes, if it is one then."""
    if not country or cell.startswith("+"):
        return None
    try:
        number = phonenumbers.parse(cell, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
