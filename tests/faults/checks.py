"""The promises, checked from outside; each check is a function from a record to its breaches."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass

from tests.faults import facts, rules
from tests.faults.traffic import KEYED

_ANSWERS = {"create": {201}, "move": {200}, "edit": {200}, "illegal": {409}, "forgot": {202, 429}}


@dataclass(frozen=True)
class Breach:
    """A promise that was not kept, and by whom."""

    check: str
    subject: str
    what: str

    def __str__(self):
        return f"{self.check}: {self.subject}: {self.what}"


def run(record):
    """Every breach of every promise."""
    return [Breach(check.__name__, str(subject), what) for check in CHECKS for subject, what in check(record)]


def acknowledged_is_stored(record):
    """Every change that was answered with success is in the database, as it was answered."""
    stored = {(row["delivery_id"], row["seq"]): row["state"] for row in record.events}
    for call in record.calls:
        if call.kind in KEYED and call.acknowledged:
            shown = json.loads(call.acknowledged.body)
            if stored.get((shown["id"], shown["version"])) != shown["status"]:
                yield call.key, f"{call.kind} of {shown['id']} to version {shown['version']} is not stored"
    asked = {row["recipient_id"] for row in record.messages if row["template"] == "reset_password"}
    for call in record.calls:
        if call.kind == "forgot" and call.acknowledged and record.users.get(call.subject) not in asked:
            yield call.key, f"nobody wrote down that {call.subject} wants a link"


def all_who_are_due_were_told(record):
    """Every message that a committed event must have caused exists, and is settled as what happened to it."""
    told = Counter(facts.about(row) for row in record.messages if row["delivery_id"] and row["channel"] != "webhook")
    for delivery_id, wanted in facts.due(record).items():
        for one in wanted:
            if told[delivery_id, *one] != 1:
                yield delivery_id, f"{told[delivery_id, *one]} messages about {one}"
    hooks = Counter(facts.about_hook(row) for row in record.messages if row["channel"] == "webhook")
    for endpoint, delivery_id, seq, event in facts.due_hooks(record, certain=True):
        if hooks[endpoint, delivery_id, seq, event] != 1:
            yield (
                delivery_id,
                f"{hooks[endpoint, delivery_id, seq, event]} webhooks about {seq}, {event}, to {endpoint}",
            )
    seen = {one.id for one in record.received} | {one.sid for one in record.received}
    newest = facts.newest_of_lanes(record)
    for row in record.messages:
        if wrong := _unsettled(row, record, seen=seen, newest=newest):
            yield row["id"], wrong


def _unsettled(row, record, *, seen, newest):
    """Say what is wrong with a message's state, or nothing."""
    state = row["state"]
    if state in rules.OPEN:
        return f"still {state}"
    again = sum(one["recipient_id"] == row["recipient_id"] for one in record.messages) > 1
    arrived = row["id"] in seen or (row["channel"] == "sms" and row["provider_ref"] in seen)
    fits = {
        "sent": arrived,
        "delivered": arrived,
        "superseded": newest[facts.lane(row)] > (row["seq"] or 0),
        "failed": _was_refused(row, record),
        "dead": row["attempts"] >= len(record.ladders.get(row["channel"], (0,) * 99)),
        # Of two links the newest works.
        "suppressed": (row["template"] == "reset_password" and again) or _is_gone(row, record),
        "uncertain": True,  # visible; uncertain_only_for_a_reason() looks into it
    }
    return None if fits.get(state) else f"is {state} ({row['error_class']}) for nothing, {row['attempts']} attempts"


def _was_refused(row, record):
    refused = {subject for name, subject in record.misdeeds if name in {"smtp_550", "sms_400", "hook_410"}}
    if row["channel"] == "webhook":
        return row["id"] in refused
    return facts.address(record, row) in refused


def _is_gone(row, record):
    """Whether a webhook was for an endpoint that has said, at some time, that it is gone."""
    return row["error_class"] == "endpoint_disabled" and record.endpoints.get(row["recipient_id"], (None, False))[1]


def nothing_was_invented(record):
    """No message without its event, nothing received without its message, and each webhook says what happened."""
    due, hooks, asked = facts.due(record), facts.due_hooks(record, certain=False), _asked_without_delivery(record)
    for row in record.messages:
        if row["channel"] == "webhook":
            wanted = facts.about_hook(row) in hooks
        elif row["delivery_id"] is None:
            wanted = (row["template"], row["recipient_id"]) in asked
        else:
            wanted = facts.about(row)[1:] in due.get(row["delivery_id"], ())
        if not wanted:
            yield row["id"], f"nothing asks for {row['event']} to {row['audience']} by {row['channel']}"
    known = {row["id"]: row for row in record.messages}
    for one in record.received:
        if one.channel == "sms":
            if facts.text_about(record, one)[0] is None:
                yield one.sid, "a text about no delivery that is stored"
        elif one.id not in known:
            yield one.id, "was received, and no such message is stored"
        elif one.channel == "webhook" and not _says(one, known[one.id]):
            yield one.id, f"says what did not happen: {one.text[:200]}"


def _asked_without_delivery(record):
    """(template, user) of mails about accounts: to those who forgot their password, and whose endpoint is gone."""
    asked = {("reset_password", identity) for identity in record.users.values()}
    if any(name == "hook_410" for name, _ in record.misdeeds):
        asked |= {("webhook_disabled", row["recipient_id"]) for row in record.messages}
    return asked


def _says(one, row):
    """Whether a webhook's body is about its row's event."""
    said = json.loads(one.text)
    about = said["data"].get("delivery_id"), said["data"].get("sequence"), said["type"]
    return about == (row["delivery_id"], row["seq"], row["event"])


def twice_only_where_allowed(record):
    """A copy is forgiven for account mails and webhooks, and only when its sender was killed or left without a yes."""
    rows = {row["id"]: row for row in record.messages}
    copies = Counter(one.id for one in record.received if one.channel != "sms" and one.id in rows)
    bodies = {(one.id, one.text) for one in record.received if one.channel == "webhook"}
    for identity, count in Counter(identity for identity, _ in bodies).items():
        if count > 1:
            yield identity, f"a webhook with {count} different bodies"
    for identity, count in copies.items():
        if count > 1 and not (rows[identity]["template"] in rules.MAY_COME_TWICE and facts.excused(record, identity)):
            yield identity, f"{rows[identity]['template']} was received {count} times"
    due = Counter((row["delivery_id"], row["event"]) for row in record.messages if row["channel"] == "sms")
    got = Counter(facts.text_about(record, one) for one in record.received if one.channel == "sms")
    for about, count in got.items():
        if count > due[about]:
            yield about[0], f"{count} texts about {about[1]}, and {due[about]} due"


def lanes_in_order(record):
    """The first copies of what one person is told of one delivery by one channel come in the order of the events."""
    rows = {row["id"]: row for row in record.messages} | {
        row["provider_ref"]: row for row in record.messages if row["channel"] == "sms" and row["provider_ref"]
    }
    lanes, first = defaultdict(list), set()
    for one in sorted(record.received, key=lambda one: one.at):
        row = rows.get(one.id) or rows.get(one.sid)
        if row and row["delivery_id"] and row["id"] not in first and not facts.given_up(record, row):
            first.add(row["id"])
            lanes[facts.lane(row)].append(row["seq"])
    for lane, came in lanes.items():
        if came != sorted(came):
            yield ":".join(map(str, lane)), f"came in the order {came}"


def histories_are_legal(record):
    """Every history is a chain without a gap, of legal moves, and ends where the delivery stands."""
    chains = facts.histories(record)
    for row in record.deliveries:
        chain, picked_up, before = chains[row["id"]], False, None
        for expected, event in enumerate(chain, start=1):
            if event["seq"] != expected or event["before"] != before:
                yield row["id"], f"a gap before {event['seq']}"
            elif wrong := _illegal(event, before, picked_up=picked_up):
                yield row["id"], wrong
            before = event["state"]
            picked_up = picked_up or before in rules.ON_ITS_WAY
        if not chain or (row["version"], row["status"]) != (chain[-1]["seq"], chain[-1]["state"]):
            yield row["id"], f"stands at {row['version']} {row['status']}, its history does not"


def _illegal(event, before, *, picked_up):
    state = event["state"]
    if before is None:
        return None if state in rules.FIRST else f"begins as {state}"
    if event["kind"] == "edited":
        return None if state == before else f"an edit moved it to {state}"
    return None if state in rules.legal_moves(before, picked_up=picked_up) else f"{before} became {state}"


def one_effect_a_key(record):
    """All successes under a key are one and the same answer, and no history has more events than were asked for."""
    asked, certain, effects = Counter(), Counter(), {}
    ids = {row["reference"]: row["id"] for row in record.deliveries}
    for call in (call for call in record.calls if call.kind in KEYED):
        good = [one for one in call.tries if one.status and 200 <= one.status < 300]
        if len({(one.status, one.body, one.headers.get("etag")) for one in good}) > 1:
            yield call.key, "two answers under one key"
        if sum("idempotent-replayed" not in one.headers for one in good) > 1:
            yield call.key, "done twice under one key"
        asked[call.subject] += 1
        certain[call.subject] += bool(good)
        if good:
            shown = json.loads(good[0].body)
            if effects.setdefault((shown["id"], shown["version"]), call.key) != call.key:
                yield call.key, f"the same version of {shown['id']} as under another key"
    chains = facts.histories(record)
    for reference, most in asked.items():
        there = len(chains[ids[reference]]) if reference in ids else 0
        if not certain[reference] <= there <= most:
            yield reference, f"{there} events, of {most} calls with {certain[reference]} successes"
    for reference, count in Counter(row["reference"] for row in record.deliveries).items():
        if count > 1:
            yield reference, f"created {count} times"


def answers_are_sound(record):
    """What was asked gets the answer that belongs to it, or 503 with Retry-After; always within ten seconds."""
    for call in record.calls:
        for one in call.tries:
            if (seconds := _seconds(record, one)) > rules.SLOWEST_ANSWER_SECONDS:
                yield call.key, f"{call.kind}: {seconds:.1f} s until {one.status or 'nothing'}"
            if one.status is None or one.status in _ANSWERS[call.kind]:
                continue
            if not (one.status in {409, 503} and "retry-after" in one.headers):
                yield call.key, f"{call.kind} was answered {one.status}: {one.body[:200].decode(errors='replace')}"


def _seconds(record, one):
    """How long somebody waited while there was an API; where there is none, connections wait for it in the kernel."""
    outages = (max(0.0, min(one.ended_at, end) - max(one.sent_at, begin)) for begin, end in record.outages)
    return one.seconds - sum(outages)


def nothing_needs_a_hand(record):
    """When all is well again, every client gets its answer, and no process is left behind."""
    for call in record.calls:
        if call.final is None:
            yield call.key, f"{call.kind} never got an answer in {len(call.tries)} tries"
    for line in record.leftovers:
        yield line, "was left behind"


def uncertain_only_for_a_reason(record):
    """A row is uncertain because its sender was killed with it in hand, or because the outside did not answer."""
    by_kill = Counter()
    for row in record.messages:
        if row["state"] != "uncertain":
            continue
        if row["error_class"] == "worker_lost":
            killers = facts.killers(record, row["id"])
            if not killers:
                yield row["id"], "is uncertain, and nobody who had it in hand was killed"
            by_kill.update({(row["channel"], killer) for killer in killers[-1:]})
        elif not facts.unanswered(record, row):
            yield row["id"], f"is uncertain ({row['error_class']}), and the outside did answer"
    for (channel, killer), count in by_kill.items():
        if count > rules.HAND_OFF_SIZE[channel]:
            yield f"the kill of {killer}", f"left {count} uncertain of {channel}"


def woken_after_the_commit(record):
    """With cron standing still, the wake alone brings a message out: it must not come before its commit."""
    for delivery_id, seconds in record.probes:
        if seconds is None or seconds > rules.PROMPT_SECONDS:
            yield delivery_id, f"first told after {'nothing' if seconds is None else f'{seconds:.1f} s'}, without cron"


def feed_is_complete(record):
    """Whoever reads the feed gets every event once, those of a delivery in order, and none is passed over."""
    mine = {row["id"] for row in record.deliveries}
    read = defaultdict(list)
    for delivery_id, seq in record.feed:
        if delivery_id in mine:
            read[delivery_id].append(seq)
    for delivery_id, chain in facts.histories(record).items():
        if read[delivery_id] != [event["seq"] for event in chain]:
            yield delivery_id, f"the feed has {read[delivery_id]} of {len(chain)} events"


CHECKS = (
    acknowledged_is_stored, all_who_are_due_were_told, nothing_was_invented, twice_only_where_allowed, lanes_in_order,
    histories_are_legal, one_effect_a_key, answers_are_sound, nothing_needs_a_hand, uncertain_only_for_a_reason,
    woken_after_the_commit, feed_is_complete,
)  # fmt: skip
