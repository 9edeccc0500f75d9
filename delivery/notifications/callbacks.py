"""/api/callbacks/twilio: what Twilio tells us: receipts, and what people answer to text messages."""

import unicodedata
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

from flask import Response, current_app, request
from marshmallow import EXCLUDE, Schema, fields, validate
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse

from delivery.database import transaction
from delivery.errors import Forbidden
from delivery.notifications import receipts
from delivery.notifications.opt_outs import opt_in, opt_out
from delivery.notifications.states import Channel
from delivery.web import Blueprint, Text, no_content, public, throttle

blp = Blueprint(
    "twilio",
    __name__,
    url_prefix="/api/callbacks/twilio",
    description="Called by Twilio, and signed with our token.",
    any_query=True,  # whoever sets up the number may add to its address
)
View = TypeVar("View", bound=Callable[..., Any])

# Those that Twilio knows, and answers by itself (help.twilio.com/articles/223134027).
STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START = frozenset({"START", "YES", "UNSTOP"})
# Those of our locales, without accents, which it leaves to us: what to do, and how to say so.
STOP_HERE = {
    "STOPP": "{company}: Sie erhalten keine SMS mehr von uns. Mit START wieder einschalten.",
    "ENDE": "{company}: Sie erhalten keine SMS mehr von uns. Mit START wieder einschalten.",
    "ARRET": "{company} : vous ne recevrez plus de SMS de notre part. Répondez START pour les réactiver.",
    "BAJA": "{company}: ya no recibirá más SMS nuestros. Responda START para volver a recibirlos.",
}
_HELP = "{company}: news of your deliveries. {link} Reply STOP to get none, START to get them again."
HELP = {
    "HELP": _HELP,
    "INFO": _HELP,
    "HILFE": "{company}: Nachrichten zu Ihren Sendungen. {link} Mit STOP abbestellen, mit START wieder einschalten.",
    "AIDE": "{company} : les nouvelles de vos livraisons. {link} Répondez STOP pour ne plus en recevoir, START sinon.",
    "AYUDA": "{company}: noticias de sus entregas. {link} Responda STOP para no recibirlas, START para volver.",
}


class ReceiptIn(Schema):
    """Twilio adds fields without notice; we read those that we know."""

    class Meta:
        unknown = EXCLUDE

    MessageSid = fields.String(
        required=True,
        validate=[validate.Regexp(r"[A-Za-z0-9]{2,100}\Z"), validate.Length(max=100)],
        metadata={"example": "SM1234567890"},
    )
    MessageStatus = fields.String(
        required=True,
        validate=[validate.Regexp(r"[a-z_]{1,20}\Z"), validate.Length(max=20)],
        metadata={"example": "delivered"},
    )
    ErrorCode = fields.Integer(load_default=None, validate=validate.Range(0, 999_999))


class TextIn(Schema):
    """What somebody wrote to our number. OptOutType: Twilio took it for a keyword, and has answered."""

    class Meta:
        unknown = EXCLUDE

    From = fields.String(required=True, validate=validate.Length(min=1, max=100), metadata={"example": "+442079460000"})
    Body = Text(2000, load_default="", metadata={"example": "STOP"})
    OptOutType = Text(20, load_default="")


def signed_by_twilio(view: View) -> View:
    """Let in whoever has signed the call with our token (www.twilio.com/docs/usage/security); others are counted."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not _is_genuine():
            throttle.count_address()
            raise Forbidden("Only Twilio calls this, with its signature.", code="bad_signature")
        return view(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def _is_genuine() -> bool:
    """Compare with the address as we published it: proxies and whoever writes the Host header have no say in it."""
    config = current_app.config
    if config["SMS_PROVIDER"] != "twilio" or not config["SMS_API_SECRET"] or not config["PUBLIC_BASE_URL"]:
        return False
    query = request.query_string.decode("latin-1")
    address = config["PUBLIC_BASE_URL"] + request.path + (f"?{query}" if query else "")
    given = request.headers.get("X-Twilio-Signature", "")
    return bool(RequestValidator(config["SMS_API_SECRET"]).validate(address, request.form, given))


@blp.route("/status/<uuid:message_id>", methods=("POST",))
@public
@signed_by_twilio
@blp.errors(400, 403, 404, 413, 415, 422, 429, 503)
@blp.arguments(ReceiptIn, location="form")
@blp.response(204)
def status(body: dict[str, Any], message_id: UUID) -> Response:
    """Take a receipt: how far a text message got; the same one twice changes nothing.

    Twilio calls this and signs it (`X-Twilio-Signature`); whatever is not signed with our token is a 403.
    """
    said = {"provider_ref": body["MessageSid"], "status": body["MessageStatus"], "error_code": body["ErrorCode"]}
    with transaction():
        receipts.take(message_id, **said)
    return no_content()


@blp.route("/inbound", methods=("POST",))
@public
@signed_by_twilio
@blp.errors(400, 403, 413, 415, 422, 429, 503)
@blp.arguments(TextIn, location="form")
@blp.response(200, {"type": "string", "maxLength": 5000, "pattern": "^<"}, content_type="text/xml")
def inbound(body: dict[str, Any]) -> Response:
    """Take what somebody wrote to our number: STOP, START and HELP, and their like; anything else is not kept.

    Twilio calls this and signs it (`X-Twilio-Signature`); the answer is TwiML, and says what we write back.
    """
    word = _word(body["OptOutType"] or body["Body"])
    if word in STOP or word in STOP_HERE:
        with transaction():
            opt_out(Channel.SMS, body["From"], "stop")
    elif word in START:
        with transaction():
            opt_in(Channel.SMS, body["From"], "start")
    return _twiml(None if body["OptOutType"] else _answer(word))


def _word(text: str) -> str:
    """Return what was written without accents, case, spaces and signs: `"Arrêt!"` is ARRET."""
    return "".join(one for one in unicodedata.normalize("NFKD", text) if one.isalnum()).upper()


def _answer(word: str) -> str | None:
    """Return what to answer; to what Twilio answers by itself nothing, because two answers cost twice and confuse."""
    names = {"company": current_app.config["COMPANY_NAME"], "link": current_app.config["PUBLIC_BASE_URL"]}
    said = {**STOP_HERE, **HELP}.get(word)
    return said and said.format(**names)


def _twiml(text: str | None) -> Response:
    answer = MessagingResponse()
    if text:
        answer.message(text)
    return Response(str(answer), mimetype="text/xml")
