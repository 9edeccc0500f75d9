"""Segments, as the standard and Twilio count them."""

import pytest

from delivery.notifications.segments import segments_of


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("é£¥ñß" * 32, 1),
        # An escape before each of these.
        ("€" * 80, 1),
        ("€" * 81, 2),
        # 152 septets are full: the pair does not fit into the last one.
        ("a" * 152 + "€" + "a" * 152, 3),
        ("a" * 151 + "€" + "a" * 153, 2),
        # One character that GSM lacks makes all of them UTF-16.
        ("ç" * 70, 1),
        ("ç" * 71, 2),
        ("a" * 133 + "ç", 2),
        ("a" * 134 + "ç", 3),
        ("🚲" * 35, 1),
        ("🚲" * 36, 2),
        # 67 units hold 33 pairs.
        ("🚲" * 66, 2),
        ("🚲" * 67, 3),
    ],
)
def test_a_text_takes_so_many_segments(text, count):
    assert segments_of(text) == count
