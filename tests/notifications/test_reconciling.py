"""Asking Twilio about what nobody could tell: only one answer counts, and nothing is sent."""

import pytest
from sqlalchemy import update

from delivery.database import db, transaction
from delivery.deliveries.models import Delivery
from delivery.notifications.channels import Unreachable
from delivery.notifications.reconciling import reconcile, reconcile_some
from delivery.notifications.services import resend
from delivery.ops.housekeeping import Housekeeping
from tests.commands import run, run_json
from tests.notifications.conftest import on_sqlite


def uncertain(texts):
    """A message that Twilio has and that we do not know of."""
    texts.twilio.break_after_accept()
    identity = texts.send()
    assert texts.row(identity).state == "uncertain"
    return identity


def test_what_twilio_has_is_sent_with_its_reference(texts, travel):
    identity = uncertain(texts)
    assert reconcile(10) == {}, "not in the first minute"
    travel(seconds=61)
    assert reconcile(10) == {identity: "sent"}
    row = texts.row(identity)
    assert (row.state, row.provider_ref) == ("sent", texts.twilio.messages[0]["sid"])
    assert len(texts.twilio.messages) == 1
    assert texts.receipts() == [("queued", "list")]
    assert reconcile(10) == {}


@pytest.mark.parametrize(("status", "state"), [("delivered", "delivered"), ("undelivered", "failed")])
def test_how_far_it_got_counts_too(texts, travel, status, state):
    identity = uncertain(texts)
    texts.twilio.messages[0] |= {"status": status, "error_code": 30003 if state == "failed" else None}
    travel(seconds=61)
    assert reconcile(10) == {identity: state}


def test_what_twilio_never_had_stays_uncertain_and_is_asked_for_once(texts, travel):
    identity = uncertain(texts)
    texts.twilio.messages.clear()
    travel(seconds=61)
    assert reconcile(10) == {identity: "uncertain"}
    assert reconcile(10) == {}
    assert texts.twilio.messages == []
    assert texts.receipts() == [("not_found", "list")]


def test_two_that_look_the_same_prove_nothing(texts, travel):
    identity = uncertain(texts)
    texts.twilio.accept(
        {"To": texts.twilio.messages[0]["to"], "Body": texts.twilio.messages[0]["body"], "From": "+15005550006"}
    )
    travel(seconds=61)
    assert reconcile(10) == {identity: "uncertain"}
    assert texts.receipts() == [("ambiguous", "list")]


@pytest.mark.parametrize(
    "other",
    [
        {"body": "something else"},
        {"to": "+447700900999"},
        {"from": "+15005550009"},
        {"date_created": "Mon, 23 Nov 2026 10:00:00 +0000"},
        {"date_created": "Wed, 23 Nov 2033 10:00:00 +0000"},
    ],
    ids=["words", "number", "sender", "before", "after"],
)
@on_sqlite
def test_what_is_not_the_same_in_all_is_another(texts, travel, other):
    identity = uncertain(texts)
    texts.twilio.messages[0].update(other)
    travel(seconds=61)
    assert reconcile(10) == {identity: "uncertain"}


@on_sqlite
def test_what_is_another_message_of_ours_is_not_this_one(texts, travel):
    identity = uncertain(texts)
    [other] = texts.write()
    texts.deliver()
    assert texts.row(other).state == "sent"
    taken = next(one for one in texts.twilio.messages if one["sid"] == texts.row(other).provider_ref)
    texts.twilio.messages[:] = [taken | {"body": texts.twilio.messages[0]["body"]}]
    travel(seconds=61)
    assert reconcile(10) == {identity: "uncertain"}


@on_sqlite
def test_it_is_found_on_a_later_page(texts, travel):
    identity = uncertain(texts)
    first = texts.twilio.messages[0]
    for number in range(250):
        texts.twilio.accept({"To": first["to"], "Body": f"other {number}", "From": first["from"]})
    travel(seconds=61)
    assert reconcile(10) == {identity: "sent"}


@on_sqlite
def test_a_number_that_has_changed_finds_nothing(texts, travel):
    identity = uncertain(texts)
    with transaction():
        db.session.execute(update(Delivery.__table__).values(recipient_phone="+442079460001"))
    travel(seconds=61)
    assert reconcile(10) == {identity: "uncertain"}


def test_what_a_person_has_had_sent_again_is_another_question(texts, travel):
    identity = uncertain(texts)
    travel(seconds=61)
    with transaction():
        resend([identity])
    assert reconcile(10) == {}, "it is not uncertain now"
    texts.twilio.messages.clear()
    texts.twilio.break_after_accept()
    texts.deliver()
    travel(seconds=61)
    texts.twilio.messages.clear()
    assert reconcile(10) == {identity: "uncertain"}


@on_sqlite
def test_a_twilio_that_does_not_answer_is_asked_later(texts, travel):
    identity = uncertain(texts)
    travel(seconds=61)
    texts.twilio.token, kept = "another", texts.twilio.token
    with pytest.raises(Unreachable):
        reconcile(10)
    assert reconcile_some(10) == 0
    assert run(texts.app, "notifications", "reconcile").exit_code == 1
    texts.twilio.token = kept
    Housekeeping().do()
    assert texts.row(identity).state == "sent"


@on_sqlite
def test_the_command_asks_about_all_even_again(texts):
    first = uncertain(texts)
    texts.twilio.messages.clear()
    assert run_json(texts.app, "notifications", "reconcile") == [{"id": str(first), "state": "uncertain"}]
    second = uncertain(texts)
    assert run_json(texts.app, "notifications", "reconcile", "--limit", "1") == [{"id": str(second), "state": "sent"}]
    assert run_json(texts.app, "notifications", "reconcile") == [{"id": str(first), "state": "uncertain"}]


@on_sqlite
def test_who_cannot_be_asked_is_not(make_app):
    with make_app().app_context():
        assert reconcile(10) == {}
