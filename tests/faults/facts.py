"""What a record says, looked up: whose message, to which address, in whose hands, due by which event."""

from collections import defaultdict

from tests.faults import rules

_WORDS = {"missed you": "attempt_failed", "has arrived": "delivered", "on the way": "out_for_delivery"}


def histories(record):
    chains = defaultdict(list)
    for event in record.events:
        chains[event["delivery_id"]].append(event)
    return chains


def due(record):
    chains = histories(record)
    return {
        row["id"]: rules.due(
            [(one["seq"], one["kind"], one["before"], one["state"]) for one in chains[row["id"]]],
            has_email=row["email"] is not None,
            has_phone=row["phone"] is not None,
        )
        for row in record.deliveries
    }


def due_hooks(record, *, certain):
    """(endpoint, delivery, seq, type) of each webhook; of endpoints that may go away, only when it need not be."""
    chains = histories(record)
    return {
        (endpoint, row["id"], *one)
        for row in record.deliveries
        for endpoint, (owner, may_go) in record.endpoints.items()
        if owner == row["sender"] and not (certain and may_go)
        for one in rules.due_to_endpoints(
            [(event["seq"], event["kind"], event["before"], event["state"]) for event in chains[row["id"]]]
        )
    }


def about_hook(row):
    return row["recipient_id"], row["delivery_id"], row["seq"], row["event"]


def about(row):
    return row["delivery_id"], row["seq"], row["event"], row["audience"], row["channel"]


def lane(row):
    return row["channel"], row["recipient_id"], row["delivery_id"]


def newest_of_lanes(record):
    newest = defaultdict(int)
    for row in record.messages:
        newest[lane(row)] = max(newest[lane(row)], row["seq"] or 0)
    return newest


def address(record, row):
    """Whom a message goes to."""
    if row["delivery_id"] is None:
        return next((email for email, identity in record.users.items() if identity == row["recipient_id"]), None)
    delivery = next(one for one in record.deliveries if one["id"] == row["delivery_id"])
    return delivery["sender" if row["audience"] == "sender" else "email" if row["channel"] == "mail" else "phone"]


def text_about(record, one):
    delivery = next((row["id"] for row in record.deliveries if row["number"] in one.text), None)
    return delivery, next((event for words, event in _WORDS.items() if words in one.text), None)


def killers(record, identity):
    """The processes that had a message in hand, and were killed after that."""
    holders = [(note["pid"], note["at"]) for note in record.handed_off if identity in note["ids"]]
    return [pid for pid, at in holders if any(kill["pid"] == pid and kill["at"] >= at for kill in record.kills)]


def excused(record, identity):
    bad = {("smtp_drop", identity), ("hook", identity)}
    return killers(record, identity) or bad & set(record.misdeeds)


def given_up(record, row):
    """A text whose provider hung: we gave it up as uncertain, and when it was taken after all, others had passed it."""
    return row["state"] == "uncertain" and ("sms_hang", address(record, row)) in record.misdeeds


def unanswered(record, row):
    if row["channel"] == "mail":
        return ("smtp_drop", row["id"]) in record.misdeeds
    number = address(record, row)
    return any((name, number) in record.misdeeds for name in ("sms_drop", "sms_500", "sms_hang"))
