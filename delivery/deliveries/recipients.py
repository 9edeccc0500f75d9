"""What whoever gets deliveries wants to be told by mail; they need no account, a link in a mail tells who they are.

Nobody can ask for mails that a sender does not have sent: an event is wanted or not, and only what is not is kept.
"""

from typing import Any

from marshmallow import ValidationError, fields, pre_load, validate
from webargs.multidictproxy import MultiDictProxy

from delivery.deliveries import told
from delivery.deliveries.preferences import QuietHours, quiet_in, quiet_out
from delivery.notifications import preferences
from delivery.notifications.preferences import NO_WISHES, Wishes
from delivery.notifications.states import Channel
from delivery.users.schemas import LONGEST_ZONE, locale_field
from delivery.web import Flag, Schema, Word


class ByMail(Schema):
    mail = Flag()


RecipientEvents = Schema.from_dict({event: fields.Nested(ByMail) for event in told.EVENTS}, name="RecipientEvents")


class RecipientPreferencesIn(Schema):
    events = fields.Nested(RecipientEvents, load_default=dict)
    locale = locale_field(
        allow_none=True, load_default=None, metadata={"description": "Of messages; what the delivery says, when null."}
    )
    quiet_hours = fields.Nested(QuietHours, allow_none=True, load_default=None)

    @pre_load
    def from_form(self, data: Any, **_: Any) -> Any:
        return _from_form(data) if isinstance(data, MultiDictProxy) else data


class RecipientPreferencesForm(Schema):
    """The same as the page's form sends it; an empty field says nothing, and no event without its tick is wanted."""

    locale = Word(15, required=True, metadata={"example": "en"})
    quiet_from = Word(5)
    quiet_to = Word(5)
    time_zone = Word(LONGEST_ZONE)
    mail = fields.List(
        fields.String(validate=validate.OneOf(told.EVENTS)),
        validate=validate.Length(max=len(told.EVENTS)),
        metadata={"example": ["delivered"]},
    )


class RecipientPreferencesOut(Schema):
    events = fields.Nested(RecipientEvents, required=True)
    locale = Word(15, required=True, allow_none=True)
    quiet_hours = fields.Nested(QuietHours, required=True, allow_none=True)


_FIELDS = frozenset(RecipientPreferencesForm().fields)


def _from_form(form: Any) -> dict[str, Any]:
    """Return a form as the JSON that says the same; what belongs in neither is left in it, to be refused."""
    if "locale" not in form:  # an empty form is a mistake, not a wish for silence
        raise ValidationError(fields.Field.default_error_messages["required"], "locale")
    ticked = form.getlist("mail")
    hours = {name: form.get(f"quiet_{name}", "") for name in ("from", "to")}
    quiet = {**hours, "time_zone": form.get("time_zone", "")} if any(hours.values()) else None
    events = {event: {"mail": event in ticked} for event in (*told.EVENTS, *ticked)}
    unknown = {name: form[name] for name in form if name not in _FIELDS}
    return {**unknown, "locale": form["locale"] or None, "quiet_hours": quiet, "events": events}


def wishes_of(address_hash: bytes) -> Wishes:
    """Return what whoever has the address with this hash has set."""
    return preferences.of_addresses([address_hash]).get(address_hash, NO_WISHES)


def shown(wished: Wishes) -> dict[str, Any]:
    """Return what RecipientPreferencesOut documents."""
    events = {event: {"mail": _is_wanted(event, wished)} for event in told.EVENTS}
    return {"events": events, "locale": wished.locale, "quiet_hours": quiet_out(wished)}


def _is_wanted(event: str, wished: Wishes) -> bool:
    return wished.cells.get(event, {}).get(told.RECIPIENT, {}).get(Channel.MAIL) is not False


def replace(
    address_hash: bytes, *, events: dict[str, Any], locale: str | None, quiet_hours: dict[str, str] | None
) -> None:
    """Set what whoever has the address with this hash wants, whole."""
    unwanted = [event for event, channels in events.items() if channels.get("mail") is False]
    cells = {event: {told.RECIPIENT: {str(Channel.MAIL): False}} for event in unwanted}
    preferences.replace(Wishes(cells, locale, quiet_in(quiet_hours)), address_hash=address_hash)
