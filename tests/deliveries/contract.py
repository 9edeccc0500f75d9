"""The table of states as design/api.md prints it: a copy by hand, so that states.py cannot agree with itself."""

STATES = [
    "draft", "pending", "assigned", "picked_up", "in_transit", "out_for_delivery", "delivered", "attempt_failed",
    "on_hold", "returning", "returned", "cancelled", "lost",
]  # fmt: skip
# to: from
TABLE = {
    "pending": ["draft", "assigned", "attempt_failed", "on_hold"],
    "assigned": ["pending", "attempt_failed", "on_hold", "assigned"],
    "picked_up": ["assigned", "pending"],
    "in_transit": ["picked_up", "on_hold"],
    "out_for_delivery": ["picked_up", "in_transit", "attempt_failed", "on_hold"],
    "delivered": ["picked_up", "in_transit", "out_for_delivery"],
    "attempt_failed": ["assigned", "in_transit", "out_for_delivery"],
    "on_hold": ["pending", "assigned", "picked_up", "in_transit", "attempt_failed"],
    "returning": ["attempt_failed", "in_transit", "on_hold", "out_for_delivery"],
    "returned": ["returning"],
    "cancelled": ["draft", "pending", "assigned", "on_hold"],
    "lost": ["picked_up", "in_transit", "out_for_delivery", "returning"],
}
# "Once picked_up_at is set there is no way back to pending, assigned or cancelled".
NO_WAY_BACK = {"pending", "assigned", "cancelled"}
# "customer (own): draft to pending, and to cancelled".
OWNERS = {("draft", "pending")} | {(source, "cancelled") for source in TABLE["cancelled"]}
# "the assigned courier: assigned to picked_up and every later move but lost and cancelled".
COURIERS = {
    (source, target)
    for target, sources in TABLE.items()
    for source in sources
    if target not in {"pending", "assigned", "cancelled", "lost"} and source not in {"draft", "pending"}
}
# The ways from a new delivery to each state, through moves that a dispatcher may make.
WAYS = {
    "pending": [],
    "assigned": ["assigned"],
    "picked_up": ["assigned", "picked_up"],
    "in_transit": ["assigned", "picked_up", "in_transit"],
    "out_for_delivery": ["assigned", "picked_up", "out_for_delivery"],
    "delivered": ["assigned", "picked_up", "delivered"],
    "attempt_failed": ["assigned", "picked_up", "in_transit", "attempt_failed"],
    "on_hold": ["assigned", "picked_up", "on_hold"],
    "returning": ["assigned", "picked_up", "in_transit", "returning"],
    "returned": ["assigned", "picked_up", "in_transit", "returning", "returned"],
    "cancelled": ["cancelled"],
    "lost": ["assigned", "picked_up", "lost"],
}
# The same before anybody has picked it up, with the courier still assigned.
WAYS_BEFORE_PICKUP = {"attempt_failed": ["assigned", "attempt_failed"], "on_hold": ["assigned", "on_hold"]}


def legal(source, target, *, picked_up):
    return source in TABLE.get(target, ()) and not (picked_up and target in NO_WAY_BACK)


def may(source, target, parts):
    """Whether one of these parts may make a move that is legal."""
    pair = (source, target)
    return "dispatcher" in parts or ("owner" in parts and pair in OWNERS) or ("courier" in parts and pair in COURIERS)
