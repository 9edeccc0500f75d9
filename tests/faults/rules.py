"""What is promised, written down a second time from the design and docs/api.md; none of it is read from the code."""

# Event -> audience -> channels, as people are told by default.
TOLD = {
    "created": {"sender": ("mail",), "recipient": ("mail",)},
    "out_for_delivery": {"recipient": ("mail", "sms")},
    "delivered": {"sender": ("mail",), "recipient": ("mail", "sms")},
    "attempt_failed": {"sender": ("mail",), "recipient": ("mail", "sms")},
    "on_hold": {"sender": ("mail",), "recipient": ("mail",)},
    "returned": {"sender": ("mail",), "recipient": ("mail",)},
    "lost": {"sender": ("mail",), "recipient": ("mail",)},
    "cancelled": {"sender": ("mail",), "recipient": ("mail",)},
}
FIRST = {"draft", "pending"}
MOVES = {
    "draft": {"pending", "cancelled"},
    "pending": {"assigned", "picked_up", "on_hold", "cancelled"},
    "assigned": {"pending", "assigned", "picked_up", "attempt_failed", "on_hold", "cancelled"},
    "picked_up": {"in_transit", "out_for_delivery", "delivered", "on_hold", "lost"},
    "in_transit": {"out_for_delivery", "delivered", "attempt_failed", "on_hold", "returning", "lost"},
    "out_for_delivery": {"delivered", "attempt_failed", "returning", "lost"},
    "attempt_failed": {"pending", "assigned", "out_for_delivery", "on_hold", "returning"},
    "on_hold": {"pending", "assigned", "in_transit", "out_for_delivery", "returning", "cancelled"},
    "returning": {"returned", "lost"},
    "delivered": set(),
    "returned": set(),
    "cancelled": set(),
    "lost": set(),
}
ON_ITS_WAY = {"picked_up", "in_transit", "out_for_delivery", "delivered", "returning", "returned", "lost"}
BEFORE_PICK_UP = {"draft", "pending", "assigned", "cancelled"}
# A second copy of these is harmless, and of nothing else.
MAY_COME_TWICE = {"reset_password", "webhook_disabled", "webhook"}
SETTLED = {"sent", "delivered", "failed", "dead", "uncertain", "suppressed", "superseded", "cancelled"}
OPEN = {"pending", "sending"}
HAND_OFF_SIZE = {"mail": 10, "sms": 8}
SLOWEST_ANSWER_SECONDS = 10.0
# With nobody but the wake to start a worker.
PROMPT_SECONDS = 8.0


def legal_moves(state, *, picked_up):
    """Where a delivery may go; once picked up there is no way back before pick-up."""
    return sorted(MOVES[state] - (BEFORE_PICK_UP if picked_up else set()))


def due(events, *, has_email, has_phone):
    """The messages that a history must have caused: (seq, event, audience, channel); events: (seq, kind, from, to)."""
    return {
        (seq, event, audience, channel)
        for seq, kind, before, state in events
        if (event := _news(kind, before, state))
        for audience, channels in TOLD.get(event, {}).items()
        for channel in channels
        if audience == "sender" or (has_email if channel == "mail" else has_phone)
    }


def due_to_endpoints(events):
    """What every program is told that watches this delivery: (seq, type), all of its history."""
    return {(seq, _type(seq, kind, state)) for seq, kind, _, state in events}


def _type(seq, kind, state):
    if seq == 1:
        return "delivery.created"
    return "delivery.edited" if kind == "edited" else f"delivery.{state}"


def _news(kind, before, state):
    if kind not in {"moved", "assigned"}:
        return None
    if before in {None, "draft"}:
        return "created" if state == "pending" else None
    return state
