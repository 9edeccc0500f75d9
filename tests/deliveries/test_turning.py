"""Arabic and Hebrew on labels: what is drawn from left to right reads as it was written."""

import unicodedata
from io import BytesIO
from itertools import product

import pytest
from arabic_reshaper.letters import LETTERS_ARABIC
from pypdf import PdfReader
from reportlab.pdfbase.pdfmetrics import getFont

from delivery.deliveries.labels import _register_fonts, draw
from delivery.deliveries.turning import base_of, joined, turned
from tests.deliveries.test_labels import row

NAMES = ["ישראל ישראלי", "محمد علي", "عبد الله", "رضا گلچین", "Grace Doorstep"]


def shown(text):
    """Text as it is drawn, from left to right."""
    return turned(joined(text), base=base_of(joined(text)))


def letters(text):
    """Text without the forms that joining gives it."""
    return unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_letter_of_a_right_to_left_name_is_the_rightmost(name):
    drawn = letters(shown(name))
    assert drawn == (name if name.isascii() else name[::-1])


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("רחוב הרצל 12", "12 לצרה בוחר"),
        ("6688312 תל אביב", "ביבא לת 6688312"),
        ("דירה 4א", "א4 הריד"),
        ("ספר של ABC 12", "ABC 12 לש רפס"),
        ("Ref. ישראל-7 b", "Ref. 7-לארשי b"),
        ("חנות (סניף ב) 3", "3 (ב ףינס) תונח"),
        ("חנות (ABC) [x]", "[x] (ABC) תונח"),
        ("abc (שלום) def", "abc (םולש) def"),
        ("((שלום))", "((םולש))"),
        ("קטן < גדול", "לודג > ןטק"),
        ("12 (34) [a] <b>", "12 (34) [a] <b>"),
        ("שָׁלוֹם", "םולש"),
        ("e\u0301 (a\u034f)", "e\u0301 (a)"),
        ("a\u034f(\u061c)", "a()"),
        ("\u05b8", ""),
        ("", ""),
    ],
)
def test_numbers_latin_words_and_brackets_stand_as_readers_expect(text, drawn):
    assert shown(text) == drawn


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("محمد", "\ufee3\ufea4\ufee4\ufeaa"),  # first meem, middle hah, middle meem, last dal
        ("علي", "\ufecb\ufee0\ufef2"),
        ("سلام", "\ufeb3\ufefc\ufee1"),  # lam and alef are one
        ("الله", "\ufe8d\ufedf\ufee0\ufeea"),  # not U+FDF2, which the fonts lack
        ("مُحَمَّد", "\ufee3\ufea4\ufee4\ufeaa"),
        ("می\u200cشود", "\ufee3\ufbfd\u200c\ufeb7\ufeee\ufea9"),  # what stands between does not join
    ],
)
def test_arabic_letters_are_joined(text, forms):
    assert joined(text) == forms


def test_the_font_has_each_form_of_the_letters_that_it_has():
    """One that it lacks is a box; a box in the place of a form would be a hole in a word that is otherwise there."""
    _register_fonts()
    for font, (letter, forms) in product(["", "-Bold"], LETTERS_ARABIC.items()):
        glyphs = getFont(f"DejaVuSansCondensed{font}").face.charToGlyph
        assert {ord(form) in glyphs for form in forms if form} <= {ord(letter) in glyphs}, hex(ord(letter))
    assert all(ord(form) in glyphs for text in NAMES for form in shown(text))


def test_a_label_has_them_turned_and_a_long_one_begins_above():
    """pypdf reads words of Arabic and Hebrew from the right."""
    name = "ישראל ישראלי " + "בן אברהם " * 20
    place = {"line1": "رضا گلچین", "city": "القاهرة", "country": "EG"}
    label = draw([row(recipient_name=name, destination=place)], size="a6", company="", base_url="u")
    lines = letters(PdfReader(BytesIO(label)).pages[0].extract_text()).splitlines()
    beginning = next(place for place, line in enumerate(lines) if "ישראל ישראלי" in line)
    assert "…" in lines[beginning + 1].replace("...", "…")
    assert "رضا گلچین" in lines
