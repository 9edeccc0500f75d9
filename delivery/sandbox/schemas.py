"""The shapes of the sandbox."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from delivery.deliveries.schemas import DeliveryOut
from delivery.deliveries.states import State
from delivery.notifications.channels import Letter
from delivery.notifications.reasons import cause
from delivery.notifications.registry import Verdict
from delivery.notifications.states import Channel
from delivery.sandbox.states import ABOUT, MOST_STEPS, STEPS, Scenario
from delivery.users.schemas import LONGEST_EMAIL
from delivery.web import Flag, Line, Schema, Text, Whole, Word
from delivery.web.paging import PageArgs, page_of

# Far more than letters have: their templates are short, and so is all that stands in them.
_LONGEST_HEADER, _LONGEST_LETTER = 2000, 200_000
_CAPTURED = validate.OneOf([str(Channel.MAIL), str(Channel.SMS)])


class AdvanceIn(Schema):
    scenario = fields.Enum(
        Scenario,
        by_value=True,
        load_default=None,
        allow_none=True,
        metadata={"description": "The one before when not given, and at first `happy`."},
    )
    steps = Whole(1, MOST_STEPS, metadata={"description": "How many moves to make; 1 when not given."})
    to_end = Flag(load_default=False, metadata={"description": "Make all moves that are left."})

    @validates_schema
    def one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("to_end") and "steps" in data:
            raise ValidationError("Goes without `to_end` only.", "steps")


class AdvanceOut(Schema):
    scenario = fields.Enum(Scenario, by_value=True, required=True)
    made = fields.List(
        fields.Enum(State, by_value=True),
        required=True,
        validate=validate.Length(max=MOST_STEPS),
        metadata={"description": "Where it was moved, in order."},
    )
    next = fields.Enum(
        State, by_value=True, required=True, allow_none=True, metadata={"description": "null: the scenario is over."}
    )
    delivery = fields.Nested(DeliveryOut, required=True)


class ScenarioOut(Schema):
    name = fields.Enum(Scenario, by_value=True, required=True)
    description = Text(200, required=True, metadata={"example": ABOUT[Scenario.HAPPY]})
    steps = fields.List(fields.Enum(State, by_value=True), required=True, validate=validate.Length(max=MOST_STEPS))


class ScenarioList(Schema):
    items = fields.List(fields.Nested(ScenarioOut), required=True, validate=validate.Length(max=len(Scenario)))


class CapturedArgs(PageArgs):
    delivery_id = fields.UUID(load_default=None)
    channel = fields.String(load_default=None, validate=_CAPTURED)
    event = Line(40, load_default=None, metadata={"example": "delivered"})
    audience = Line(12, load_default=None, metadata={"example": "recipient"})


class CapturedOut(Schema):
    id = fields.UUID(required=True)
    delivery_id = fields.UUID(required=True)
    seq = fields.Integer(required=True, metadata={"description": "The event of the delivery that it tells of."})
    channel = fields.String(required=True, validate=_CAPTURED)
    audience = Word(12, required=True, metadata={"example": "recipient"})
    event = Word(40, required=True, metadata={"example": "delivered"})
    template = Word(40, required=True, metadata={"example": "delivered"})
    would_be_sent = fields.Boolean(required=True)
    reason = Text(
        500, required=True, allow_none=True, metadata={"description": "Why a live one would not be sent, or not yet."}
    )
    to = Text(
        LONGEST_EMAIL,
        required=True,
        allow_none=True,
        metadata={"description": "An address or a number; nobody has written to it."},
    )
    subject = Text(_LONGEST_HEADER, required=True, allow_none=True, metadata={"description": "Of a mail."})
    text = Text(_LONGEST_LETTER, required=True, allow_none=True)
    html = Text(_LONGEST_LETTER, required=True, allow_none=True, metadata={"description": "Of a mail."})
    headers = fields.Dict(
        keys=Word(100),
        values=Text(_LONGEST_HEADER),
        required=True,
        metadata={"description": "Of a mail.", "example": {"X-Delivery-Event": "delivered"}},
    )
    created_at = fields.AwareDateTime(required=True)


CapturedPage = page_of(CapturedOut)


_PLAIN = ("id", "delivery_id", "seq", "channel", "audience", "event", "template", "created_at")


def scenarios_out() -> dict[str, Any]:
    """Return what ScenarioList documents."""
    shown = [
        {"name": name, "description": ABOUT[name], "steps": [step.to for step in steps]}
        for name, steps in STEPS.items()
    ]
    return {"items": shown}


def captured_out(row: Any, verdict: Verdict) -> dict[str, Any]:
    """Return what CapturedOut documents."""
    shown = {name: getattr(row, name) for name in _PLAIN}
    if not isinstance(verdict, Letter):
        nothing = dict.fromkeys(("to", "subject", "text", "html"))
        return {**shown, **nothing, "would_be_sent": False, "reason": f"{cause(verdict.reason)}.", "headers": {}}
    words = {"to": verdict.address, "subject": verdict.subject or None, "text": verdict.text}
    more = {"html": verdict.html or None, "headers": verdict.headers if row.channel == Channel.MAIL else {}}
    return {**shown, **words, **more, "would_be_sent": True, "reason": None}
