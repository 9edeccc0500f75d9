"""Preferences and switches as people write them: what is on and off, in which language, at which hours."""

from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate, validates_schema

from delivery import audit
from delivery.deliveries import told
from delivery.notifications import preferences
from delivery.notifications.preferences import Wishes
from delivery.users.schemas import locale_field, zone_field
from delivery.web import Flag, Schema, Word


def _off() -> Flag:
    only = "Only false; what is on is said for each event, under `events`."
    return Flag(validate=validate.Equal(comparable=False, error=only))


class Channels(Schema):
    mail = Flag()
    sms = Flag()


class ChannelsOff(Schema):
    """Off for every event that does not say otherwise."""

    mail = _off()
    sms = _off()


class OwnCells(Schema):
    """What somebody is told as a delivery's sender."""

    sender = fields.Nested(Channels)


class Cells(OwnCells):
    recipient = fields.Nested(Channels)


OwnEvents = Schema.from_dict({event: fields.Nested(OwnCells) for event in told.EVENTS}, name="OwnEvents")
Events = Schema.from_dict({event: fields.Nested(Cells) for event in told.EVENTS}, name="Events")


class SwitchesIn(Schema):
    """A delivery's own switches: audiences and channels that are off for all events, and single events on or off."""

    sender = fields.Nested(ChannelsOff)
    recipient = fields.Nested(ChannelsOff)
    events = fields.Nested(Events)


def _time_of_day(example: str) -> fields.String:
    shape = validate.Regexp(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z", error="Must be a time of day, such as 21:00.")
    return fields.String(required=True, validate=shape, metadata={"example": example, "maxLength": 5})


class _Hours(Schema):
    time_zone = zone_field(required=True)

    @validates_schema
    def are_some(self, data: dict[str, Any], **_: Any) -> None:
        if data["from"] == data["to"]:
            raise ValidationError("Must differ from `from`.", "to")


# `from` is no name that a class could give a field.
QuietHours = _Hours.from_dict({"from": _time_of_day("21:00"), "to": _time_of_day("08:00")}, name="QuietHours")


class PreferencesIn(Schema):
    events = fields.Nested(OwnEvents, load_default=dict)
    locale = locale_field(
        allow_none=True, load_default=None, metadata={"description": "Of messages; the account's, when null."}
    )
    quiet_hours = fields.Nested(QuietHours, allow_none=True, load_default=None)


class PreferencesOut(Schema):
    events = fields.Nested(OwnEvents, required=True)
    locale = Word(15, required=True, allow_none=True)
    quiet_hours = fields.Nested(QuietHours, required=True, allow_none=True)


def of(user_id: UUID) -> dict[str, Any]:
    """Return what PreferencesOut documents."""
    return _shown(preferences.of_user(user_id))


def replace(user_id: UUID, *, events: Any, locale: str | None, quiet_hours: dict[str, str] | None) -> dict[str, Any]:
    """Set what an account wants to be told; a cell that says what its default says is not kept, and follows it."""
    wished = Wishes(_unlike_defaults(events), locale, quiet_in(quiet_hours))
    preferences.replace(wished, user_id=user_id)
    audit.record("preferences.changed", object_type="user", object_id=user_id)
    return _shown(wished)


def quiet_in(hours: dict[str, str] | None) -> tuple[str, str, str] | None:
    """Return quiet hours as Wishes has them."""
    return (hours["from"], hours["to"], hours["time_zone"]) if hours else None


def quiet_out(wished: Wishes) -> dict[str, str] | None:
    """Return what QuietHours documents."""
    return dict(zip(("from", "to", "time_zone"), wished.quiet, strict=True)) if wished.quiet else None


def _unlike_defaults(events: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for event, audiences in events.items():
        for audience, channels in audiences.items():
            for channel, on in channels.items():
                if on != told.is_default(event, audience, channel):
                    kept.setdefault(event, {}).setdefault(audience, {})[channel] = on
    return kept


def _shown(wished: Wishes) -> dict[str, Any]:
    return {"events": _all_cells(wished), "locale": wished.locale, "quiet_hours": quiet_out(wished)}


def _all_cells(wished: Wishes) -> dict[str, Any]:
    return {
        event: {
            told.SENDER: {
                str(channel): told.why_not(event, told.SENDER, channel, delivery=told.NONE, person=wished.cells) is None
                for channel in told.CHANNELS
            }
        }
        for event in told.EVENTS
    }
