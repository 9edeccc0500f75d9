"""Tracking numbers: unguessable, of one alphabet, and a mistyped one is noticed."""

import pytest

from delivery.deliveries.tracking_numbers import ALPHABET, check_character, new_number

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_a_number_has_twelve_characters_and_a_check_character():
    for _ in range(500):
        number = new_number()
        assert len(number) == 13
        assert set(number) <= set(CROCKFORD)
        assert check_character(number[:-1]) == number[-1]


def test_the_alphabet_is_crockfords():
    assert ALPHABET == CROCKFORD


def test_two_numbers_have_nothing_in_common():
    numbers = {new_number() for _ in range(2000)}
    assert len(numbers) == 2000
    for place in range(13):
        assert len({number[place] for number in numbers}) == 32, "every character occurs at every place"


def test_the_check_character_is_as_by_hand():
    assert check_character("000000000000") == "0"
    assert check_character("000000000001") == "Y"  # 1 doubled is 2; 30 more make 32
    assert check_character("000000000010") == "Z"  # 1 not doubled; 31 more make 32


@pytest.mark.parametrize("body", ["7ZQ0K3M9X2AB", "000000000000", "ZZZZZZZZZZZZ"])
def test_any_one_wrong_character_shows(body):
    right = check_character(body)
    for place in range(12):
        for other in set(CROCKFORD) - {body[place]}:
            assert check_character(body[:place] + other + body[place + 1 :]) != right


def test_nearly_any_swap_of_neighbours_shows():
    swaps = missed = 0
    for first in CROCKFORD:
        for second in CROCKFORD:
            if first != second:
                swaps += 1
                missed += check_character(f"0{first}{second}") == check_character(f"0{second}{first}")
    assert missed <= 2, f"{missed} of {swaps}"


def test_a_delivery_has_a_number_of_its_own(api):
    numbers = [api.create()["tracking_number"] for _ in range(5)]
    assert len(set(numbers)) == 5
    assert all(check_character(number[:-1]) == number[-1] for number in numbers)
