"""The shapes of deliveries, in and out; shape only: no queries, no current user."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from delivery.deliveries.preferences import SwitchesIn
from delivery.deliveries.searching import MOST_WORDS
from delivery.deliveries.states import State
from delivery.users.schemas import LONGEST_EMAIL, Email, Phone, locale_field
from delivery.web import Flag, Line, Number, Paragraph, Schema, Text, Time, Whole, Word
from delivery.web.paging import PageArgs, page_of

_TAGS_AT_MOST = 20
_ACTORS = {"description": "user, api_key (of that user), cli, system or sandbox", "example": "user"}


def _degrees(most: int, **options: Any) -> Number:
    return Number(validate=validate.Range(-most, most), **options)


def _tag_names(**options: Any) -> fields.List[Any]:
    tag = Line(50, metadata={"example": "fragile"})
    return fields.List(tag, validate=validate.Length(max=_TAGS_AT_MOST), **options)


class Location(Schema):
    lat = _degrees(90, required=True, metadata={"example": 51.4545})
    lng = _degrees(180, required=True, metadata={"example": -2.5879})


class Address(Schema):
    line1 = Line(200, required=True, metadata={"example": "12 Harbour Street"})
    line2 = Line(200, allow_none=True)
    city = Line(100, required=True, metadata={"example": "Bristol"})
    region = Line(100, allow_none=True)
    postcode = Line(20, allow_none=True, metadata={"example": "BS1 4ST"})
    country = fields.String(
        required=True,
        validate=validate.Regexp(r"[A-Z]{2}\Z", error="Must be an ISO 3166-1 alpha-2 code, such as GB."),
        metadata={"example": "GB", "maxLength": 2},
    )
    lat = _degrees(90, allow_none=True)
    lng = _degrees(180, allow_none=True)
    notes = Paragraph(500, allow_none=True)


class RecipientIn(Schema):
    name = Line(200, required=True, metadata={"example": "Grace Doorstep"})
    email = Email(allow_none=True, load_default=None, metadata={"example": "grace@home.example"})
    phone = Phone(allow_none=True, load_default=None)
    locale = locale_field(load_default="en")


class Package(Schema):
    weight_grams = Whole(1, 100_000_000, allow_none=True)
    pieces = Whole(1, 10_000, load_default=1)
    length_mm = Whole(1, 1_000_000, allow_none=True)
    width_mm = Whole(1, 1_000_000, allow_none=True)
    height_mm = Whole(1, 1_000_000, allow_none=True)


class Window(Schema):
    earliest = Time(allow_none=True, load_default=None)
    latest = Time(allow_none=True, load_default=None)

    @validates_schema
    def in_order(self, data: dict[str, Any], **_: Any) -> None:
        if data["earliest"] and data["latest"] and data["earliest"] > data["latest"]:
            raise ValidationError("Must not be before `earliest`.", "latest")


class Requirements(Schema):
    photo = Flag(load_default=False)
    signature = Flag(load_default=False)
    pin = Flag(load_default=False)


class _Writable(Schema):
    """The fields that a delivery's owner writes; nested objects are written whole."""

    description = Paragraph(2000, allow_none=True)
    reference = Line(
        100, allow_none=True, metadata={"description": "Yours; unique among your deliveries.", "example": "order-1001"}
    )
    pickup = fields.Nested(Address, allow_none=True)
    package = fields.Nested(Package, allow_none=True)
    window = fields.Nested(Window, allow_none=True)
    tags = _tag_names()
    notifications = fields.Nested(SwitchesIn, allow_none=True)
    owner_id = fields.UUID(metadata={"description": "Only a dispatcher or admin may set it."})

    @post_load
    def flatten(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the table's columns, and the tags."""
        for name, prefix in (("recipient", "recipient_"), ("window", "window_")):
            if name in data:
                nested = data.pop(name) or {"earliest": None, "latest": None}
                data |= {f"{prefix}{key}": value for key, value in nested.items()}
        if "tags" in data:
            data["tags"] = sorted(set(data["tags"]))
        return data


class DeliveryIn(_Writable):
    item_name = Line(200, required=True, metadata={"example": "Blue bicycle"})
    recipient = fields.Nested(RecipientIn, required=True)
    destination = fields.Nested(Address, required=True)
    requirements = fields.Nested(Requirements, load_default=Requirements().load({}))
    draft = Flag(load_default=False, metadata={"description": "Begin as `draft`, not `pending`."})


class DeliveryPatch(_Writable):
    item_name = Line(200)
    recipient = fields.Nested(RecipientIn)
    destination = fields.Nested(Address)
    requirements = fields.Nested(Requirements)


def target_field(**options: Any) -> fields.Enum[State]:
    return fields.Enum(State, by_value=True, metadata={"example": "cancelled"}, **options)


class MoveWords(Schema):
    """What can be said of a move, and of each of many moves."""

    reason_code = fields.String(
        allow_none=True,
        validate=validate.Regexp(r"[a-z][a-z0-9_]{0,39}\Z", error="Must be a word of a-z, 0-9 and _."),
        metadata={"example": "nobody_home", "maxLength": 40},
    )
    note = Paragraph(2000, allow_none=True, metadata={"description": "For staff."})
    public_note = Paragraph(500, allow_none=True, metadata={"description": "For the recipient."})
    occurred_at = Time(allow_none=True, metadata={"description": "When it happened; now, when not given."})
    location = fields.Nested(Location, allow_none=True)
    courier_id = fields.UUID(allow_none=True, metadata={"description": "With `assigned`: to whom."})


class MoveIn(MoveWords):
    to = target_field(required=True)


class RecipientOut(Schema):
    name = Text(200, required=True, metadata={"example": "Grace Doorstep"})
    email = Text(LONGEST_EMAIL, required=True, allow_none=True, metadata={"example": "grace@home.example"})
    phone = Word(16, required=True, allow_none=True)
    locale = Word(15, required=True, metadata={"example": "en"})


class WindowOut(Schema):
    earliest = fields.AwareDateTime(required=True, allow_none=True)
    latest = fields.AwareDateTime(required=True, allow_none=True)


def tracking_number_field(**options: Any) -> fields.String:
    shape = [validate.Length(max=13), validate.Regexp(r"[0-9A-HJKMNP-TV-Z]{13}\Z")]
    return fields.String(required=True, validate=shape, metadata={"example": "7K3M9QX2VB4TD"}, **options)


class DeliveryOut(Schema):
    id = fields.UUID(required=True)
    tracking_number = tracking_number_field()
    test = fields.Boolean(required=True, metadata={"description": "Whether a test key made it: nobody is written to."})
    status = fields.Enum(State, by_value=True, required=True)
    allowed_transitions = fields.List(
        fields.Enum(State, by_value=True),
        required=True,
        validate=validate.Length(max=len(State)),
        metadata={"description": "Where you may move it now."},
    )
    owner_id = fields.UUID(required=True)
    courier_id = fields.UUID(required=True, allow_none=True)
    reference = Text(100, required=True, allow_none=True, metadata={"example": "order-1001"})
    item_name = Text(200, required=True, metadata={"example": "Blue bicycle"})
    description = Text(2000, required=True, allow_none=True)
    recipient = fields.Nested(RecipientOut, required=True)
    pickup = fields.Nested(Address, required=True, allow_none=True)
    destination = fields.Nested(Address, required=True)
    package = fields.Nested(Package, required=True, allow_none=True)
    window = fields.Nested(WindowOut, required=True)
    requirements = fields.Nested(Requirements, required=True)
    notifications = fields.Nested(SwitchesIn, required=True, allow_none=True)
    tags = _tag_names(required=True)
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)
    picked_up_at = fields.AwareDateTime(required=True, allow_none=True)


DeliveryPage = page_of(DeliveryOut)


class EventOut(Schema):
    seq = fields.Integer(required=True, metadata={"description": "The delivery's version after it."})
    kind = fields.String(required=True, validate=validate.OneOf(["moved", "edited", "assigned", "proof", "corrected"]))
    from_state = fields.Enum(State, by_value=True, required=True, allow_none=True)
    to_state = fields.Enum(State, by_value=True, required=True)
    reason_code = Word(40, required=True, allow_none=True)
    note = Text(2000, required=True, allow_none=True)
    public_note = Text(500, required=True, allow_none=True)
    location = fields.Nested(Location, required=True, allow_none=True)
    actor_type = Word(10, required=True, metadata=_ACTORS)
    actor_id = fields.UUID(required=True, allow_none=True)
    request_id = Word(64, required=True, allow_none=True)
    occurred_at = fields.AwareDateTime(required=True)
    recorded_at = fields.AwareDateTime(required=True)


EventPage = page_of(EventOut)


def _few_words(text: str) -> None:
    if len(text.split()) > MOST_WORDS:
        raise ValidationError(f"Must be at most {MOST_WORDS} words.")


class ExportArgs(Schema):
    sort = fields.String(
        load_default="-created_at", validate=validate.OneOf(["-created_at", "created_at", "-updated_at", "updated_at"])
    )
    status = fields.List(fields.Enum(State, by_value=True), load_default=list, validate=validate.Length(max=len(State)))
    tag = _tag_names(load_default=list)
    courier_id = fields.UUID(load_default=None)
    owner_id = fields.UUID(load_default=None)
    reference = Line(100, load_default=None, metadata={"example": "order-1001"})
    created_after = Time(load_default=None)
    created_before = Time(load_default=None)
    updated_after = Time(load_default=None)
    updated_before = Time(load_default=None)
    window_after = Time(load_default=None)
    window_before = Time(load_default=None)
    late = fields.Boolean(load_default=None)
    unassigned = fields.Boolean(load_default=None)
    q = Line(
        100,
        load_default=None,
        validate=[_few_words],
        metadata={
            "description": "Words, each of which must be found: any part of the tracking number, the reference, or the"
            " recipient's name or phone; of one or two characters, the beginning of a word.",
            "example": "Grace",
        },
    )


class DeliveryArgs(ExportArgs, PageArgs):
    """The same for a page of them."""


def delivery_out(row: Any, *, allowed: list[State]) -> dict[str, Any]:
    """Return what DeliveryOut documents; `row` has the columns of queries.COLUMNS."""
    return {
        "id": row.id,
        "tracking_number": row.tracking_number,
        "test": row.test,
        "status": row.status,
        "allowed_transitions": allowed,
        "owner_id": row.owner_id,
        "courier_id": row.courier_id,
        "reference": row.reference,
        "item_name": row.item_name,
        "description": row.description,
        "recipient": {
            "name": row.recipient_name,
            "email": row.recipient_email,
            "phone": row.recipient_phone,
            "locale": row.recipient_locale,
        },
        "pickup": row.pickup,
        "destination": row.destination,
        "package": row.package,
        "window": {"earliest": row.window_earliest, "latest": row.window_latest},
        "requirements": row.requirements,
        "notifications": row.notifications,
        "tags": sorted(row.tags or ()),
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "picked_up_at": row.picked_up_at,
    }


def event_out(row: Any, *, staff: bool) -> dict[str, Any]:
    """Return what EventOut documents; notes for staff are for staff."""
    return {
        "seq": row.seq,
        "kind": row.kind,
        "from_state": row.from_state,
        "to_state": row.to_state,
        "reason_code": row.reason_code,
        "note": row.note if staff else None,
        "public_note": row.public_note,
        "location": None if row.lat is None else {"lat": row.lat, "lng": row.lng},
        "actor_type": row.actor_type,
        "actor_id": row.actor_id,
        "request_id": row.request_id,
        "occurred_at": row.occurred_at,
        "recorded_at": row.recorded_at,
    }
