"""Checks over the HTTP API alone that every delivery ended where its order did and that its history is sound."""

from typing import Any

from replay.client import Client, Refused
from replay.play import Played

# The table of states, written down a second time on purpose: the server's own would agree with its mistakes.
LEGAL_FROM = {
    "pending": {"draft", "assigned", "attempt_failed", "on_hold"},
    "assigned": {"pending", "attempt_failed", "on_hold", "assigned"},
    "picked_up": {"assigned", "pending"},
    "in_transit": {"picked_up", "on_hold"},
    "out_for_delivery": {"picked_up", "in_transit", "attempt_failed", "on_hold"},
    "delivered": {"picked_up", "in_transit", "out_for_delivery"},
    "attempt_failed": {"assigned", "in_transit", "out_for_delivery"},
    "on_hold": {"pending", "assigned", "picked_up", "in_transit", "attempt_failed"},
    "returning": {"attempt_failed", "in_transit", "on_hold", "out_for_delivery"},
    "returned": {"returning"},
    "cancelled": {"draft", "pending", "assigned", "on_hold"},
    "lost": {"picked_up", "in_transit", "out_for_delivery", "returning"},
}
FIRST_STATES = {"draft", "pending"}
NEVER_AFTER_PICK_UP = {"draft", "pending", "assigned", "cancelled"}


def breaches(client: Client, played: Played) -> list[str]:
    """Read the delivery and its events again; each thing that is not as promised is one line."""
    if not played.delivery_id:
        return []
    try:
        delivery = client.get(f"/api/deliveries/{played.delivery_id}", kind="read")
        events = _events(client, delivery_id=played.delivery_id)
    except Refused as refusal:
        return [f"cannot be read: {refusal}"]
    return [*_of_the_end(delivery, played), *_of_the_chain(events, delivery), *_of_the_plan(events, played)]


def _events(client: Client, *, delivery_id: str) -> list[dict[str, Any]]:
    path = f"/api/deliveries/{delivery_id}/events"
    page = client.get(f"{path}?limit=100", kind="events")
    events = list(page["items"])
    while page["next_cursor"]:
        page = client.get(f"{path}?limit=100&cursor={page['next_cursor']}", kind="events")
        events += page["items"]
    return events


def _of_the_end(delivery: dict[str, Any], played: Played) -> list[str]:
    expected = played.order.states[-1]
    if delivery["status"] == expected:
        return []
    return [f"status is {delivery['status']}, the file says {expected}"]


def _of_the_chain(events: list[dict[str, Any]], delivery: dict[str, Any]) -> list[str]:
    """Gap-free seq from 1, each event starting where the one before ended, legal pairs, the end = the delivery."""
    found = []
    seqs = [event["seq"] for event in events]
    if seqs != list(range(1, len(events) + 1)):
        found.append(f"seq has gaps: {seqs}")
    before = None
    for event in events:
        found += _of_the_link(event, before=before)
        before = event["to_state"]
    found += _of_no_way_back([event["to_state"] for event in events])
    if before != delivery["status"]:
        found.append(f"history ends in {before}, status is {delivery['status']}")
    if not seqs or seqs[-1] != delivery["version"]:
        found.append(f"last seq is {seqs[-1:]}, version is {delivery['version']}")
    return found


def _of_the_link(event: dict[str, Any], *, before: str | None) -> list[str]:
    start, end = event["from_state"], event["to_state"]
    if start != before:
        return [f"seq {event['seq']} starts from {start}, the one before ended in {before}"]
    legal = end in FIRST_STATES if start is None else start in LEGAL_FROM.get(end, ())
    return [] if legal else [f"seq {event['seq']}: {start} to {end} is not legal"]


def _of_no_way_back(states: list[str]) -> list[str]:
    after = states[states.index("picked_up") :] if "picked_up" in states else []
    return [f"went to {state} after pick-up" for state in after if state in NEVER_AFTER_PICK_UP]


def _of_the_plan(events: list[dict[str, Any]], played: Played) -> list[str]:
    """The history tells exactly the moves that were sent, with the times that were sent."""
    if played.error:
        return []
    found = []
    states = [event["to_state"] for event in events]
    if states != played.order.states:
        found.append(f"history tells {states}, sent were {played.order.states}")
    times = [event["occurred_at"] for event in events[1:]]
    sent = [move.occurred_at for move in played.order.moves]
    if [time[:19] for time in times] != [time[:19] for time in sent]:
        found.append(f"occurred_at is {times}, sent were {sent}")
    return found
