"""Who is told what by default, and what switches say over it; plain Python.

Switches are {event: {audience: {channel: true or false}}}: a person's over the defaults, and a delivery's own, which
also has `{audience: {channel: false}}` for all its events.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from delivery.deliveries.states import State
from delivery.notifications.states import Channel

SENDER, RECIPIENT = "sender", "recipient"
AUDIENCES, CHANNELS = (SENDER, RECIPIENT), (Channel.MAIL, Channel.SMS)
CREATED, MOVED, UPDATED = "created", "moved", "updated"
_MAIL, _SMS = CHANNELS
_BOTH_BY_MAIL: dict[str, tuple[Channel, ...]] = {SENDER: (_MAIL,), RECIPIENT: (_MAIL,)}
_BOTH_AND_SMS: dict[str, tuple[Channel, ...]] = {SENDER: (_MAIL,), RECIPIENT: (_MAIL, _SMS)}
# Event, audience, channels: what is on by default (design: who is told).
TOLD: dict[str, dict[str, tuple[Channel, ...]]] = {
    CREATED: _BOTH_BY_MAIL,
    State.OUT_FOR_DELIVERY: {RECIPIENT: (_MAIL, _SMS)},
    State.DELIVERED: _BOTH_AND_SMS,
    State.ATTEMPT_FAILED: _BOTH_AND_SMS,
    State.ON_HOLD: _BOTH_BY_MAIL,
    State.RETURNED: _BOTH_BY_MAIL,
    State.LOST: _BOTH_BY_MAIL,
    State.CANCELLED: _BOTH_BY_MAIL,
}
# What can be switched on: also every other move, and every edit. A draft is nobody's business.
EVENTS = (CREATED, *(str(state) for state in State if state is not State.DRAFT), UPDATED)
_OWN_SMS = frozenset({CREATED, State.OUT_FOR_DELIVERY, State.DELIVERED, State.ATTEMPT_FAILED, UPDATED})
_OWN_MAIL = frozenset({*TOLD, UPDATED})
TEMPLATES = (*(str(event) for event in TOLD), MOVED, UPDATED)

Switches = Mapping[str, Any]
Cell = tuple[str, Channel]
NONE: Switches = {}


def template_of(event: str, channel: str) -> str:
    """Return the name of an event's template: its own, or what any move has."""
    return event if event in (_OWN_MAIL if channel == _MAIL else _OWN_SMS) else MOVED


def is_default(event: str, audience: str, channel: str) -> bool:
    return channel in TOLD.get(event, {}).get(audience, ())


def switched_on(event: str, *, delivery: Switches, sender: Switches) -> Iterator[Cell]:
    """Yield the cells of an event that the defaults, the delivery or its sender have on; what is off may be among them.

    That is looked at when the message is sent: whoever switches something off meanwhile is not written to.
    """
    if not delivery and not sender:  # as with nearly every change
        for audience, channels in TOLD.get(event, {}).items():
            for channel in channels:
                yield audience, channel
        return
    of_delivery, of_sender = delivery.get("events", NONE).get(event, NONE), sender.get(event, NONE)
    for audience in AUDIENCES:
        wanted = [switches.get(audience, NONE) for switches in (of_delivery, of_sender)]
        for channel in CHANNELS:
            if is_default(event, audience, channel) or any(one.get(channel) for one in wanted):
                yield audience, channel


def why_not(
    event: str, audience: str, channel: str, *, delivery: Switches, person: Switches, stands_in: bool = False
) -> str | None:
    """Return why a message is not to be sent, in one word for machines; None: it is on.

    Off, said by either, goes before on, said by the other. What stands in for a message of another channel is on
    unless somebody said that it is off.
    """
    own = delivery.get("events", NONE).get(event, NONE).get(audience, NONE).get(channel)
    if own is None:
        own = delivery.get(audience, NONE).get(channel)
    if own is False:
        return "delivery_switch"
    wish = person.get(event, NONE).get(audience, NONE).get(channel)
    on = wish if wish is not None else own or stands_in or is_default(event, audience, channel)
    return None if on else "preference"
