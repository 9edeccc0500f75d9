"""What a refused cell was probably meant to be."""

import pytest

from delivery.imports import guesses


@pytest.mark.parametrize(
    ("cell", "unit", "meant"),
    [
        ("1,200", "grams", "1200"), ("1.200", None, "1200"), ("1'200", None, "1200"), ("12\u00a0000", "mm", "12000"),
        ("2 kg", "grams", "2000"), ("1,5 kg", "grams", "1500"), ("250g", "grams", "250"), ("1.5", "grams", "1500"),
        ("12 oz", "grams", "340"), ("30 cm", "mm", "300"), ("1.2 m", "mm", "1200"), ("5.0", "grams", "5"),
        ("1.200 kg", "grams", None), ("1.5", None, None), ("500.5", "grams", None), ("2 kg", "mm", None),
        ("two", None, None), ("1,2,3", None, None), ("0", "grams", None), ("9" * 400, "grams", None),
        ("\u0661\u0662", None, "12"), ("1..5", "grams", None),
    ],
)  # fmt: skip
def test_a_number_as_people_write_it_is_one_of_the_unit(cell, unit, meant):
    assert guesses.whole(cell, unit=unit) == meant


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("Germany", "DE"), ("Deutschland", "DE"), ("\u00d6STERREICH", "AT"), ("Osterreich", "AT"), ("Suisse", "CH"),
        ("Espa\u00f1a", "ES"), ("Germny", "DE"), ("UK", "GB"), ("India", "IN"), ("Nowhere", None), ("", None),
    ],
)  # fmt: skip
def test_a_country_is_known_by_its_name_in_english_and_at_home(cell, code):
    assert guesses.country(cell) == code


def test_all_that_is_suggested_is_one_of_the_codes():
    assert set(guesses._countries().values()) == set(guesses.country_codes())
