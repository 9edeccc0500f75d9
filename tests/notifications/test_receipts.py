"""Receipts: believed when Twilio signed them, in whatever order, and never to the harm of a worker."""

import threading
import uuid

import pytest
from sqlalchemy import update

from delivery.database import db, now, transaction
from delivery.notifications import attempts, claims
from delivery.notifications.held import Result
from delivery.notifications.models import OutboxMessage
from delivery.notifications.services import resend
from delivery.notifications.states import Channel, Outcome
from tests.notifications.conftest import on_sqlite, rows
from tests.notifications.texting import BASE, NUMBER
from tests.web.answers import problem


def test_a_receipt_tells_that_it_arrived_and_when(texts, travel):
    identity = texts.send()
    assert texts.row(identity).state == "sent"
    travel(minutes=3)
    for status in ("queued", "sent", "delivered"):
        assert texts.report(status).status_code == 204
    row = texts.row(identity)
    assert (row.state, row.provider_ref, row.error_class) == ("delivered", texts.twilio.messages[0]["sid"], None)
    assert (row.settled_at - row.created_at).total_seconds() > 170
    assert texts.receipts() == [("queued", "callback"), ("sent", "callback"), ("delivered", "callback")]


@pytest.mark.parametrize(
    ("said", "state", "error_class"),
    [
        (["undelivered"], "failed", "twilio_30003"),
        (["delivered", "sent", "queued"], "delivered", None),
        (["delivered", "undelivered"], "delivered", None),
        (["delivered", "failed"], "delivered", None),
        (["undelivered", "sent", "undelivered"], "failed", "twilio_30003"),
        # The network was wrong the first time; whoever has it, has it.
        (["undelivered", "delivered"], "delivered", None),
        (["delivered", "delivered", "delivered"], "delivered", None),
        (["read"], "delivered", None),
        (["something_new"], "sent", None),
    ],
)
def test_in_any_order_and_twice_they_say_the_same(texts, said, state, error_class):
    identity = texts.send()
    for status in said:
        code = 30003 if status in {"undelivered", "failed"} else None
        assert texts.report(status, error_code=code).status_code == 204
    row = texts.row(identity)
    assert (row.state, row.error_class) == (state, error_class)
    assert len(texts.receipts()) == len(set(said)), "each is kept once"


def test_a_failure_without_a_code_says_what_it_was(texts):
    identity = texts.send()
    texts.report("failed")
    assert texts.row(identity).error_class == "twilio_failed"


def test_a_receipt_settles_what_nobody_could_tell(texts):
    texts.twilio.break_after_accept()
    identity = texts.send()
    assert texts.row(identity).state == "uncertain"
    texts.report("sent")
    row = texts.row(identity)
    assert (row.state, row.provider_ref) == ("sent", texts.twilio.messages[0]["sid"])
    texts.report("delivered")
    assert texts.row(identity).state == "delivered"


def test_a_receipt_that_it_was_lost_settles_it_too(texts):
    texts.twilio.break_after_accept()
    identity = texts.send()
    texts.report("undelivered", error_code=30005)
    assert (texts.row(identity).state, texts.row(identity).error_class) == ("failed", "twilio_30005")
    texts.report("sent")
    assert texts.row(identity).state == "failed"


def held(texts, identity):
    """The message in a worker's hands, handed off, and with Twilio already."""
    with transaction():
        [message] = claims.claim(Channel.SMS, limit=1)
        [message] = attempts.hand_off([message], provider="twilio")
    form = {"To": NUMBER, "From": "+15005550006", "Body": "x"}
    address = f"{BASE}/api/callbacks/twilio/status/{identity}"
    return message, texts.twilio.accept(form | {"StatusCallback": address})


@pytest.mark.parametrize(
    ("outcome", "reference"), [(Outcome.SENT, "sid"), (Outcome.UNCERTAIN, None)], ids=["sent", "uncertain"]
)
def test_a_receipt_that_comes_before_the_worker_has_settled_counts_when_it_has(texts, outcome, reference):
    [identity] = texts.write()
    message, accepted = held(texts, identity)
    for status in ("sent", "delivered"):
        assert texts.report(status, message=accepted).status_code == 204
    row = texts.row(identity)
    assert (row.state, row.lease_token) == ("sending", message.lease_token), "the lease is the worker's"
    with transaction():
        lost = attempts.settle([Result(message, outcome, provider_ref=reference and accepted["sid"])])
    assert lost == set()
    row = texts.row(identity)
    assert (row.state, row.provider_ref) == ("delivered", accepted["sid"])


def test_receipts_while_the_worker_settles_lose_nothing(texts):
    """Both lock the message: whoever comes second sees what the first wrote."""
    for _ in range(5):
        [identity] = texts.write()
        message, accepted = held(texts, identity)
        start = threading.Barrier(2)

        def settle(message=message, accepted=accepted, start=start):
            with texts.app.app_context():
                start.wait()
                with transaction():
                    attempts.settle([Result(message, Outcome.SENT, provider_ref=accepted["sid"])])

        def report(accepted=accepted, start=start):
            start.wait()
            texts.report("delivered", message=accepted)

        threads = [threading.Thread(target=one) for one in (settle, report)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert texts.row(identity).state == "delivered"


def test_a_receipt_of_the_first_attempt_does_not_fail_the_second(texts):
    identity = texts.send()
    first = texts.twilio.messages[0]
    texts.report("undelivered", error_code=30003, message=first)
    with transaction():
        resend([identity])
    texts.report("sent", message=first)
    assert texts.row(identity).state == "pending", "the first is lost all the same"
    texts.deliver()
    texts.report("failed", message=first)
    row = texts.row(identity)
    assert (row.state, row.provider_ref) == ("sent", texts.twilio.messages[1]["sid"])


def test_what_arrived_after_all_is_not_sent_again(texts):
    texts.twilio.break_after_accept()
    identity = texts.send()
    with transaction():
        resend([identity])
    texts.report("delivered")
    texts.deliver()
    assert texts.row(identity).state == "delivered"
    assert len(texts.twilio.messages) == 1


@pytest.mark.parametrize("state", ["suppressed", "superseded", "cancelled"])
def test_what_was_never_to_be_sent_stays_so(texts, state):
    identity = texts.send()
    with transaction():
        db.session.execute(update(OutboxMessage.__table__).values(state=state, settled_at=now()))
    for status in ("sent", "delivered"):
        texts.report(status)
    assert texts.row(identity).state == state


@on_sqlite
@pytest.mark.parametrize("forged", ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "ü"])
def test_who_has_not_signed_is_refused_and_changes_nothing(texts, forged):
    identity = texts.send()
    problem(texts.report("delivered", headers={"X-Twilio-Signature": forged}), 403, "bad_signature")
    assert (texts.row(identity).state, texts.receipts()) == ("sent", [])


@on_sqlite
def test_a_signature_is_of_one_body_and_one_address(texts):
    texts.send()
    [message] = texts.twilio.messages
    form, headers = texts.twilio.receipt(message, "delivered")
    path = message["status_callback"].partition("#")[0].removeprefix(BASE)
    elsewhere = path.replace(path[-36:], str(uuid.uuid4()))
    for address, body in ((path, form | {"MessageStatus": "failed"}), (elsewhere, form), (f"{path}?a=1", form)):
        problem(texts.client.post(address, data=body, headers=headers), 403, "bad_signature")


@on_sqlite
def test_the_address_is_the_published_one_whatever_host_was_asked_for(texts):
    texts.send()
    [message] = texts.twilio.messages
    form, headers = texts.twilio.receipt(message, "delivered")
    path = message["status_callback"].partition("#")[0].removeprefix(BASE)
    assert texts.client.post(path, data=form, headers=headers, base_url="http://localhost:9").status_code == 204
    forged = texts.twilio.signed(f"http://localhost:9{path}", form)
    problem(texts.client.post(path, data=form, headers=forged, base_url="http://localhost:9"), 403)


@on_sqlite
@pytest.mark.parametrize("missing", [{"SMS_PROVIDER": "console", "SMS_API_SECRET": ""}, {"SMS_PROVIDER": "sns"}])
def test_where_twilio_does_not_send_nobody_calls(make_texts, missing):
    texts = make_texts(**missing)
    path = f"/api/callbacks/twilio/status/{uuid.uuid4()}"
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    texts.twilio.token, kept = missing.get("SMS_API_SECRET", texts.twilio.token), texts.twilio.token
    headers = texts.twilio.signed(BASE + path, form)
    texts.twilio.token = kept
    problem(texts.client.post(path, data=form, headers=headers), 403, "bad_signature")


@on_sqlite
@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"MessageSid": "SM1", "MessageStatus": "delivered"}, 404),
        ({}, 415),
        ({"MessageStatus": "sent"}, 422),
        ({"MessageSid": "SM1"}, 422),
        ({"MessageSid": "a\0b", "MessageStatus": "sent"}, 422),
        ({"MessageSid": "SM1", "MessageStatus": "x" * 21}, 422),
        ({"MessageSid": "S" * 101, "MessageStatus": "sent"}, 422),
        ({"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "9" * 40}, 422),
        ({"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "-1"}, 422),
    ],
)
def test_what_is_signed_and_means_nothing_is_refused(texts, form, status):
    path = f"/api/callbacks/twilio/status/{uuid.uuid4()}"
    problem(texts.client.post(path, data=form, headers=texts.twilio.signed(BASE + path, form)), status)


@on_sqlite
def test_a_receipt_is_of_a_text_message_alone(texts):
    """A mail's id, however well signed."""
    texts.sender.create(recipient={"name": "Grace", "email": "grace@home.example"})
    mail = next(row.id for row in rows() if row.channel == "mail")
    path, form = f"/api/callbacks/twilio/status/{mail}", {"MessageSid": "SM1", "MessageStatus": "delivered"}
    problem(texts.client.post(path, data=form, headers=texts.twilio.signed(BASE + path, form)), 404)
    assert {row.state for row in rows()} == {"pending"}
