"""What people write back: STOP and its like by any spelling, START, HELP; nothing else is kept."""

import json

import pytest
from sqlalchemy import select

from delivery.database import db
from delivery.notifications.opt_outs import OptOut, opted_out
from tests.notifications.conftest import on_sqlite
from tests.notifications.texting import NUMBER
from tests.web.answers import problem

EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response />'


def is_out():
    return opted_out([("sms", NUMBER)]) != set()


@on_sqlite
@pytest.mark.parametrize(
    "word", ["STOP", "stop", " Stop. ", "STOPALL", "stop all", "Unsubscribe", "CANCEL", "end", "Quit!", "\tSTOP\n"]
)
def test_stop_opts_out_and_is_answered_by_twilio_alone(texts, word):
    response = texts.answer(word)
    assert (response.status_code, response.mimetype, response.text) == (200, "text/xml", EMPTY)
    assert is_out()


@on_sqlite
@pytest.mark.parametrize("word", ["Stopp", "ARRET", "arrêt", "Arre\u0302t", "Baja", "ENDE"])
def test_the_words_of_our_locales_opt_out_too_and_are_answered_by_us(texts, word):
    assert "<Message>Delivery" in texts.answer(word).text
    assert is_out()


def test_start_opts_in_again(texts):
    for word in ("STOP", "START", "stop", "Yes", "stop", "unstop"):
        assert texts.answer(word).text == EMPTY
        assert is_out() == (word.upper() == "STOP")


def test_stop_twice_is_once_and_an_answer_that_comes_again_changes_nothing(texts):
    for word in ("START", "STOP", "STOP"):
        texts.answer(word)
    [row] = db.session.execute(select(OptOut.__table__)).all()
    assert (row.channel, row.source, row.ended_at) == ("sms", "stop", None)


@on_sqlite
@pytest.mark.parametrize(
    ("word", "words"), [("HELP", "news of"), ("info", "news of"), ("Hilfe!", "Nachrichten"), ("aide", "nouvelles")]
)
def test_help_says_who_writes_and_how_to_make_it_stop(make_texts, word, words):
    texts = make_texts(COMPANY_NAME="Ham & Söhne <GmbH>", PUBLIC_BASE_URL="http://127.0.0.1:8000")
    text = texts.answer(word).text
    assert "Ham &amp; Söhne &lt;GmbH&gt;" in text
    assert "http://127.0.0.1:8000" in text
    assert "STOP" in text
    assert words in text
    assert not is_out()


@on_sqlite
@pytest.mark.parametrize(("kind", "out"), [("STOP", True), ("HELP", False), ("START", False)])
def test_what_twilio_has_answered_is_not_answered_again(texts, kind, out):
    """Advanced Opt-Out knows words of its own, and says what it took them for."""
    assert texts.answer("whatever the operator chose", OptOutType=kind).text == EMPTY
    assert is_out() == out


@on_sqlite
@pytest.mark.parametrize("words", ["", "Thanks!", "please do not stop", "stop it", "cancel my order", "x" * 1600])
def test_anything_else_changes_nothing_and_is_kept_nowhere(texts, words, caplog):
    caplog.set_level("DEBUG")
    texts.answer(words)
    assert db.session.execute(select(OptOut.__table__)).all() == []
    assert not words or words not in caplog.text
    assert NUMBER not in json.dumps(caplog.text)


@on_sqlite
def test_it_has_to_be_twilio_who_says_so(texts):
    form = {"From": NUMBER, "Body": "STOP"}
    for headers in ({}, {"X-Twilio-Signature": "forged"}, texts.twilio.signed("http://127.0.0.1:8000/", form)):
        response = texts.client.post("/api/callbacks/twilio/inbound", data=form, headers=headers)
        problem(response, 403, "bad_signature")
    problem(texts.answer("STOP", number=""), 422)
    problem(texts.answer("STOP", number="x" * 101), 422)
    problem(texts.answer("STOP\0"), 422)
    assert not is_out()


def test_whoever_told_twilio_stop_is_opted_out_here_too(texts):
    texts.twilio.refuse_opted_out()
    identity = texts.send()
    row = texts.row(identity)
    assert (row.state, row.error_class) == ("failed", "twilio_21610")
    assert is_out()
    assert texts.mails() == []
