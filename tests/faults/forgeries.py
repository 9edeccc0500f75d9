"""Records, forged: what a broken promise looks like from outside, and what looks like one and is none."""

import json
from dataclasses import replace

from tests.faults.outside import Received
from tests.faults.traffic import Call, Try

DELIVERY, OWNER, ENDPOINT = "d-1", "u-owner", "e-1"
NUMBER = "0123456789ABC"
LATE = 100.0


def shown(version, status):
    return json.dumps({"id": DELIVERY, "version": version, "status": status}).encode()


def answered(status, body=b"{}", **headers):
    return Try(1.0, 1.2, status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def event(seq, before, state, kind="moved"):
    return {"delivery_id": DELIVERY, "seq": seq, "kind": kind, "before": before, "state": state}


def message(identity, seq, name, audience="recipient", channel="mail", **more):
    row = {
        "id": identity, "channel": channel, "audience": audience, "delivery_id": DELIVERY, "seq": seq, "event": name,
        "recipient_id": OWNER if audience == "sender" else DELIVERY, "template": name, "state": "sent", "attempts": 1,
        "error_class": None, "provider_ref": None, "resend_of": None, "created_at": 1.0, "settled_at": 2.0,
    }  # fmt: skip
    return row | more


def hook(seq, name):
    body = json.dumps({"type": name, "data": {"delivery_id": DELIVERY, "sequence": seq}})
    return Received("webhook", 2.0 + seq, "/hook", id=f"h{seq}", text=body)


def row(record, identity):
    return next(one for one in record.messages if one["id"] == identity)


def lose_a_change(record):
    record.events.pop()
    record.deliveries[0] |= {"version": 3, "status": "picked_up"}


def lose_a_request_for_a_link(record):
    record.messages = [one for one in record.messages if one["id"] != "m5"]
    record.received = [one for one in record.received if one.id != "m5"]


def lose_a_message(record):
    record.messages = [one for one in record.messages if one["id"] != "m3"]
    record.received = [one for one in record.received if one.id != "m3"]


def leave_a_message_open(record):
    row(record, "m3").update(state="pending", settled_at=None)


def say_sent_and_send_nothing(record):
    record.received = [one for one in record.received if one.id != "m3"]


def say_sent_and_text_nothing(record):
    record.received = [one for one in record.received if one.channel != "sms"]


def supersede_by_nothing(record):
    row(record, "m3").update(state="superseded")


def fail_what_nobody_refused(record):
    row(record, "m3").update(state="failed", error_class="smtp_550")


def fail_what_was_refused_to_another(record):
    fail_what_nobody_refused(record)
    record.misdeeds.append(("smtp_550", "s@x.example"))


def give_up_early(record):
    row(record, "m3").update(state="dead", attempts=1)


def suppress_for_nothing(record):
    row(record, "m3").update(state="suppressed", error_class="sms_limit")


def invent_a_message(record):
    record.messages.append(message("m9", 3, "picked_up"))
    record.received.append(Received("mail", 9.0, "a@x.example", id="m9"))


def write_to_whom_nobody_asked_for(record):
    record.messages.append(message("m9", None, "reset_password", delivery_id=None, recipient_id="u-2"))
    record.received.append(Received("mail", 9.0, "b@x.example", id="m9"))


def send_what_is_not_stored(record):
    record.received.append(Received("mail", 9.0, "a@x.example", id="m9"))


def text_about_what_is_not_stored(record):
    record.received.append(Received("sms", 9.0, "+12025550001", text="ZZZZZZZZZZZZZ has arrived", sid="SM9"))


def send_a_status_mail_twice(record):
    """Even a kill excuses only what may come twice."""
    record.handed_off.append({"pid": 7, "at": 1.0, "ids": ["m3"]})
    record.kills.append({"name": "sent", "pid": 7, "at": 1.5})
    record.received.append(Received("mail", 9.0, "a@x.example", id="m3"))


def send_a_link_twice_for_nothing(record):
    record.received.append(Received("mail", 9.0, "u@x.example", id="m5"))


def text_twice(record):
    text = next(one for one in record.received if one.channel == "sms")
    record.received.append(replace(text, at=9.0, sid="SM2"))


def send_in_the_wrong_order(record):
    record.received = [replace(one, at=1.0) if one.id == "m3" else one for one in record.received]


def leave_a_gap(record):
    del record.events[1]


def break_the_chain(record):
    record.events[2]["before"] = "pending"


def move_illegally(record):
    record.events[1] |= {"state": "returned"}
    record.events[2] |= {"before": "returned"}


def go_back_before_pick_up(record):
    record.events.append(event(5, "out_for_delivery", "attempt_failed"))
    record.events.append(event(6, "attempt_failed", "pending"))
    record.deliveries[0] |= {"version": 6, "status": "pending"}


def stand_elsewhere(record):
    record.deliveries[0]["status"] = "delivered"


def answer_twice_differently(record):
    record.calls[1].tries.append(answered(200, shown(2, "assigned") + b" ", idempotent_replayed="true"))


def do_it_twice(record):
    record.calls[1].tries.append(answered(200, shown(2, "assigned")))


def give_two_keys_one_effect(record):
    record.calls[2].tries = [answered(200, shown(2, "assigned"))]


def add_an_event_that_nobody_asked_for(record):
    record.events.append(event(5, "out_for_delivery", "out_for_delivery", "edited"))
    record.deliveries[0]["version"] = 5


def answer_500(record):
    record.calls[1].tries.insert(0, answered(500))


def answer_503_without_retry_after(record):
    record.calls[1].tries.insert(0, answered(503))


def refuse_what_is_allowed(record):
    record.calls[1].tries.insert(0, answered(422))


def let_them_wait(record):
    record.calls[1].tries.insert(0, Try(1.0, 12.0))


def never_answer(record):
    record.calls.append(Call("k9", "edit", "PATCH", "/", {}, subject="ref", tries=[Try(1.0, 1.1)]))


def leave_a_process(record):
    record.leftovers.append("gunicorn")


def be_uncertain_for_nothing(record):
    row(record, "m3").update(state="uncertain", error_class="worker_lost")


def be_uncertain_of_whom_another_had(record):
    be_uncertain_for_nothing(record)
    record.handed_off.append({"pid": 7, "at": 1.0, "ids": ["m3"]})
    record.kills.append({"name": "sent", "pid": 8, "at": 1.5})


def be_uncertain_of_what_was_answered(record):
    row(record, "m4").update(state="uncertain", error_class="twilio_no_answer")


def be_uncertain_of_more_than_were_in_hand(record):
    row(record, "m4").update(state="uncertain", error_class="worker_lost")
    others = [f"m{number}" for number in range(10, 18)]
    lost = {"channel": "sms", "state": "uncertain", "error_class": "worker_lost"}
    record.messages += [message(one, 4, "out_for_delivery", **lost) for one in others]
    record.handed_off.append({"pid": 7, "at": 1.0, "ids": ["m4", *others]})
    record.kills.append({"name": "sent", "pid": 7, "at": 1.5})


def lose_a_webhook(record):
    record.messages = [one for one in record.messages if one["id"] != "h3"]
    record.received = [one for one in record.received if one.id != "h3"]


def suppress_a_webhook(record):
    """Of an endpoint that never said that it was gone."""
    row(record, "h3").update(state="suppressed", error_class="endpoint_disabled")


def tell_an_endpoint_of_another_owner(record):
    record.endpoints["e-2"] = ("t@x.example", False)
    row(record, "h3")["recipient_id"] = "e-2"


def say_in_a_webhook_what_did_not_happen(record):
    record.received = [replace(one, text=one.text.replace("picked_up", "lost")) for one in record.received]


def send_a_webhook_twice_for_nothing(record):
    record.received.append(hook(3, "delivery.picked_up"))


def thaw_a_webhook(record):
    """Between two attempts its bytes change."""
    record.misdeeds.append(("hook", "h3"))
    record.received.append(replace(hook(3, "delivery.picked_up"), text=hook(3, "delivery.picked_up").text + " "))


def send_webhooks_in_the_wrong_order(record):
    record.received = [replace(one, at=1.0) if one.id == "h3" else one for one in record.received]


def pass_an_event_over(record):
    del record.feed[2]


def feed_an_event_twice(record):
    record.feed.append(record.feed[0])


def feed_in_the_wrong_order(record):
    record.feed.reverse()


def wake_nobody(record):
    record.probes.append((DELIVERY, None))


FORGERIES = {
    "acknowledged_is_stored": [lose_a_change, lose_a_request_for_a_link],
    "all_who_are_due_were_told": [
        lose_a_message, leave_a_message_open, say_sent_and_send_nothing, say_sent_and_text_nothing,
        supersede_by_nothing, lose_a_webhook, suppress_a_webhook, fail_what_nobody_refused,
        fail_what_was_refused_to_another, give_up_early, suppress_for_nothing,
    ],
    "nothing_was_invented": [
        invent_a_message, write_to_whom_nobody_asked_for, send_what_is_not_stored, text_about_what_is_not_stored,
        tell_an_endpoint_of_another_owner, say_in_a_webhook_what_did_not_happen,
    ],
    "twice_only_where_allowed": [
        send_a_status_mail_twice, send_a_link_twice_for_nothing, text_twice, send_a_webhook_twice_for_nothing,
        thaw_a_webhook,
    ],
    "lanes_in_order": [send_in_the_wrong_order, send_webhooks_in_the_wrong_order],
    "histories_are_legal": [leave_a_gap, break_the_chain, move_illegally, go_back_before_pick_up, stand_elsewhere],
    "one_effect_a_key": [
        answer_twice_differently, do_it_twice, give_two_keys_one_effect, add_an_event_that_nobody_asked_for,
    ],
    "answers_are_sound": [answer_500, answer_503_without_retry_after, refuse_what_is_allowed, let_them_wait],
    "nothing_needs_a_hand": [never_answer, leave_a_process],
    "uncertain_only_for_a_reason": [
        be_uncertain_for_nothing, be_uncertain_of_whom_another_had, be_uncertain_of_what_was_answered,
        be_uncertain_of_more_than_were_in_hand,
    ],
    "woken_after_the_commit": [wake_nobody],
    "feed_is_complete": [pass_an_event_over, feed_an_event_twice, feed_in_the_wrong_order],
}  # fmt: skip


def excuse_a_second_link(record):
    record.handed_off.append({"pid": 7, "at": 1.0, "ids": ["m5"]})
    record.kills.append({"name": "sent", "pid": 7, "at": 1.5})
    send_a_link_twice_for_nothing(record)


def drop_a_link(record):
    record.misdeeds.append(("smtp_drop", "m5"))
    send_a_link_twice_for_nothing(record)


def kill_the_sender(record):
    be_uncertain_for_nothing(record)
    record.handed_off.append({"pid": 7, "at": 1.0, "ids": ["m3"]})
    record.kills.append({"name": "worker_child", "pid": 7, "at": 1.5})


def leave_a_text_without_an_answer(record):
    be_uncertain_of_what_was_answered(record)
    record.misdeeds.append(("sms_hang", "+12025550001"))


def refuse_an_address(record):
    fail_what_nobody_refused(record)
    record.received = [one for one in record.received if one.id != "m3"]
    record.misdeeds.append(("smtp_550", "a@x.example"))


def overtake_a_mail(record):
    row(record, "m2").update(state="superseded")
    record.received = [one for one in record.received if one.id != "m2"]


def answer_503_and_say_when(record):
    record.calls[1].tries.insert(0, answered(503, retry_after="1"))


def wait_while_there_is_no_api(record):
    let_them_wait(record)
    record.outages.append((0.5, 8.0))


def fail_a_webhook(record):
    record.misdeeds.append(("hook", "h3"))
    record.received.append(hook(3, "delivery.picked_up"))


def say_that_it_is_gone(record):
    record.endpoints[ENDPOINT] = ("s@x.example", True)
    record.misdeeds.append(("hook_410", "h3"))
    row(record, "h3").update(state="failed", error_class="http_410")
    row(record, "h4").update(state="suppressed", error_class="endpoint_disabled")
    record.received = [one for one in record.received if one.id != "h4"]
    told = message("m9", None, "webhook_disabled", "account", delivery_id=None, recipient_id=OWNER)
    record.messages.append(told)
    record.received.append(Received("mail", 9.0, "s@x.example", id="m9"))


def replay(record):
    record.calls[1].tries.append(answered(200, shown(2, "assigned"), idempotent_replayed="true"))


FORGIVEN = [
    excuse_a_second_link,
    drop_a_link,
    kill_the_sender,
    leave_a_text_without_an_answer,
    refuse_an_address,
    overtake_a_mail,
    answer_503_and_say_when,
    wait_while_there_is_no_api,
    fail_a_webhook,
    say_that_it_is_gone,
    replay,
]
