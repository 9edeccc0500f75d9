"""Why a message was not sent: every reason that the code gives has words."""

import re
from pathlib import Path

import pytest

from delivery.notifications.reasons import FAMILIES, WORDS, reason
from delivery.notifications.states import MessageState

SOURCES = [path.read_text() for path in Path("delivery").rglob("*.py")]
GIVEN = re.compile(
    r"(?:Suppress|Defer|Failure|Unreachable|Unknown)\(\s*\"([a-z_]+)\""
    r"|\berror_class=\"([a-z_]+)\"|\"error_class\": \"(\w+)\""
)


def test_every_reason_in_the_code_has_words():
    given = {name for source in SOURCES for names in GIVEN.findall(source) for name in names if name}
    assert len(given) > 10
    assert {name for name in given - set(WORDS) - set(MessageState) if not name.startswith(tuple(FAMILIES))} == set()


@pytest.mark.parametrize("state", MessageState)
def test_each_state_is_a_sentence_where_there_is_something_to_explain(state):
    for error_class in (None, "smtp_550", "no_address", "never_heard_of"):
        said = reason(state, error_class)
        if state in {"sent", "delivered"} or (state in {"pending", "sending"} and error_class is None):
            assert said is None
        else:
            assert re.fullmatch(r"[A-Z].+\.", said)


def test_the_longest_beginning_that_fits_counts():
    assert reason("failed", "smtp_550") == "Refused for good: the mail server does not take it (smtp_550)."
    assert (
        reason("dead", "smtp_timeout") == "Given up: the mail server cannot be reached or did not go on (smtp_timeout)."
    )
    assert reason("suppressed", "fog") == "Not sent on purpose: the reason is fog."


def test_a_reason_that_says_no_more_than_the_state_is_not_said_twice():
    assert reason("superseded", "superseded") == "Not sent: a newer message took its place."
