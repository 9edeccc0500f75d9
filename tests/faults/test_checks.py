"""The harness is to be trusted: a sound record has no breach, and each promise broken in a forged one is found."""

import pytest

from tests.faults import checks
from tests.faults.forgeries import (
    DELIVERY,
    ENDPOINT,
    FORGERIES,
    FORGIVEN,
    NUMBER,
    answered,
    event,
    hook,
    message,
    shown,
)
from tests.faults.outside import Received
from tests.faults.record import Record
from tests.faults.traffic import Call


@pytest.fixture
def record():
    """A delivery that was created, assigned, picked up and sent out, with what this causes; a forgotten password."""
    states = ["pending", "assigned", "picked_up", "out_for_delivery"]
    kinds = ["create", "move", "move", "move"]
    calls = [
        Call(
            f"k{seq}",
            kind,
            "POST",
            "/",
            {},
            subject="ref",
            tries=[answered(201 if seq == 1 else 200, shown(seq, state))],
        )
        for seq, (kind, state) in enumerate(zip(kinds, states, strict=True), start=1)
    ]
    calls.append(Call("k5", "forgot", "POST", "/", {}, subject="u@x.example", tries=[answered(202)]))
    messages = [
        message("m1", 1, "created", "sender"),
        message("m2", 1, "created"),
        message("m3", 4, "out_for_delivery"),
        message("m4", 4, "out_for_delivery", channel="sms", provider_ref="SM1"),
        message("m5", None, "reset_password", "user", delivery_id=None, recipient_id="u-1"),
    ]
    types = [
        (1, "delivery.created"),
        (2, "delivery.assigned"),
        (3, "delivery.picked_up"),
        (4, "delivery.out_for_delivery"),
    ]
    messages += [
        message(f"h{seq}", seq, name, "endpoint", "webhook", recipient_id=ENDPOINT, template="webhook")
        for seq, name in types
    ]
    mails = [Received("mail", at, "a@x.example", id=one) for at, one in enumerate(("m1", "m2", "m3", "m5"), start=2)]
    text = Received("sms", 6.0, "+12025550001", text=f"the courier is on the way with {NUMBER}.", sid="SM1")
    return Record(
        calls=calls, received=[*mails, text, *(hook(seq, name) for seq, name in types)],
        deliveries=[{"id": DELIVERY, "reference": "ref", "number": NUMBER, "status": "out_for_delivery", "version": 4,
                     "email": "a@x.example", "sender": "s@x.example", "phone": "+12025550001"}],
        events=[event(1, None, "pending"), event(2, "pending", "assigned", "assigned"),
                event(3, "assigned", "picked_up"), event(4, "picked_up", "out_for_delivery")],
        messages=messages, users={"u@x.example": "u-1"}, probes=[(DELIVERY, 0.1)], lease_seconds=60,
        ladders={"mail": (0, 1), "sms": (0, 1), "webhook": (0, 1)}, endpoints={ENDPOINT: ("s@x.example", False)},
        feed=[(DELIVERY, seq) for seq, _ in types],
    )  # fmt: skip


def found(record):
    return {breach.check for breach in checks.run(record)}


def test_a_sound_record_has_no_breach(record):
    assert checks.run(record) == []


@pytest.mark.parametrize(
    ("check", "forge"),
    [pytest.param(check, one, id=one.__name__) for check, all_of in FORGERIES.items() for one in all_of],
)
def test_a_broken_promise_is_found(record, check, forge):
    forge(record)
    assert check in found(record)


def test_every_check_has_a_forgery():
    assert set(FORGERIES) == {check.__name__ for check in checks.CHECKS}


@pytest.mark.parametrize("forge", FORGIVEN)
def test_what_cannot_be_helped_is_forgiven(record, forge):
    forge(record)
    assert found(record) == set()


@pytest.mark.parametrize("hung", [True, False])
def test_a_text_that_was_given_up_may_be_taken_late_and_no_other(record, hung):
    record.messages.append(message("m6", 5, "delivered", channel="sms", provider_ref="SM2"))
    record.received.append(Received("sms", 5.0, "+12025550001", text=f"{NUMBER} has arrived.", sid="SM2"))
    record.messages[3]["state"] = "uncertain"
    record.misdeeds += [("sms_hang", "+12025550001")] * hung
    assert bool(list(checks.lanes_in_order(record))) is not hung
