"""/unsubscribe: one click, and an address gets no more news of deliveries; another one, and it gets them again.

The same link opens what its reader wants to be told, in which language, and when not.
"""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from babel import Locale, UnknownLocaleError
from flask import Response, current_app, render_template, request
from marshmallow import EXCLUDE, fields, validate

from delivery.database import transaction
from delivery.deliveries import recipients, told
from delivery.deliveries.recipients import RecipientPreferencesForm, RecipientPreferencesIn, RecipientPreferencesOut
from delivery.errors import AppError, Invalid
from delivery.notifications import opt_outs, rendering, unsubscribing
from delivery.notifications.queries import locale_of
from delivery.notifications.states import Channel
from delivery.web import Blueprint, Schema, answer, no_content, public
from delivery.web.pages import from_browser, html_page

View = TypeVar("View", bound=Callable[..., Any])
LANGUAGES = frozenset(path.stem for path in (Path(__file__).parent / "html/deliveries/words").glob("*.html"))
# To choose from; any other of the IANA's can be typed.
_ZONES = (
    "UTC", "Europe/London", "Europe/Paris", "Europe/Berlin", "Europe/Zurich", "Europe/Athens", "America/New_York",
    "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Africa/Lagos", "Asia/Dubai",
    "Asia/Kolkata", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney",
)  # fmt: skip
blp = Blueprint(
    "unsubscribe",
    __name__,
    url_prefix=unsubscribing.PATH,
    description="What the link in every mail about a delivery leads to; the link is all that it takes.",
    template_folder="html",
)


class OneClick(Schema):
    """What mail programs post (RFC 8058, 3.1); they may add fields of their own."""

    class Meta:
        unknown = EXCLUDE

    one_click = fields.String(
        required=True,
        data_key="List-Unsubscribe",
        validate=validate.Equal("One-Click"),
        metadata={"example": "One-Click"},
    )


class Link(NamedTuple):
    """A link that was written by us: the hash of its reader's address, and the message that it stood in."""

    token: str
    hashed: bytes
    message_id: UUID


def _by_link(view: View) -> View:
    """Hand the link to the view; show a browser what is wrong as a page, where a program gets the problem."""

    @wraps(view)
    def wrapper(*, token: str) -> Any:
        link = None
        try:
            link = Link(token, *unsubscribing.reader_of(token))
            return view(link=link)
        except AppError as error:
            if not from_browser():
                raise
            page = _again(link, error)
            page.headers.update(error.headers)
            return page

    return wrapper  # type: ignore[return-value]


def _again(link: Link | None, error: AppError) -> Response:
    """Bring the form back with what was typed, if it is of use."""
    if link is None or not isinstance(error, Invalid) or request.endpoint != "unsubscribe.save_preferences":
        return _worded(None, status=error.status, error=error)
    wrong = {one["pointer"].rpartition("/")[2] for one in error.errors}
    return _page(link, status=error.status, wrong=wrong, typed=request.form)


def _page(link: Link, *, status: int = HTTPStatus.OK, typed: Any = None, **words: Any) -> Response:
    wished = recipients.wishes_of(link.hashed)
    if typed is None:
        begin, end, zone = wished.quiet or ("", "", current_app.config["TIME_ZONE"])
        wanted = [event for event, channels in recipients.shown(wished)["events"].items() if channels["mail"]]
        chosen = {"locale": wished.locale or "", "from": begin, "to": end, "time_zone": zone, "wanted": wanted}
    else:
        chosen = {"locale": typed.get("locale", ""), "time_zone": typed.get("time_zone", "")}
        chosen |= {"from": typed.get("quiet_from", ""), "to": typed.get("quiet_to", "")}
        chosen["wanted"] = typed.getlist("mail")
    silent = bool(opt_outs.in_force([link.hashed]))
    options = {"events": told.EVENTS, "languages": _languages(wished.locale), "zones": _ZONES}
    locale = wished.locale or locale_of(link.message_id)
    return _worded(locale, status=status, token=link.token, silent=silent, chosen=chosen, **options, **words)


def _worded(locale: str | None, *, status: int, **words: Any) -> Response:
    """Answer with the page in a language, or the nearest that it has."""
    config = current_app.config
    near = ((tag or "").partition("-")[0].lower() for tag in (locale, config["DEFAULT_LOCALE"]))
    language = next((tag for tag in near if tag in LANGUAGES), rendering.DEFAULT_LOCALE)
    html = render_template(
        "deliveries/unsubscribe.html", company=config["COMPANY_NAME"], language=language, **{"wrong": (), **words}
    )
    return html_page(html, status=status)


def _languages(chosen: str | None) -> dict[str, str]:
    """Return the locales that messages are worded in, and one that was chosen otherwise, with their own names."""
    return {tag: _name_of(tag) for tag in sorted({*rendering.locales(), *((chosen,) if chosen else ())})}


def _name_of(tag: str) -> str:
    try:
        return Locale.parse(tag, sep="-").get_display_name() or tag
    except (UnknownLocaleError, ValueError):
        return tag


@blp.route("/<token>")
@public
@_by_link
@blp.errors_or_page(400)
@blp.page_response
def show(*, link: Link) -> Response:
    """Show a page with a button and what is set; looking changes nothing, because mail scanners open links.

    The link in every mail about a delivery leads here, and its token is all that it takes.
    """
    return _page(link)


@blp.route("/<token>", methods=("POST",))
@public
@_by_link
@blp.errors(413, 415)
@blp.errors_or_page(400, 422)
@blp.arguments(OneClick, location="json_or_any_form")
@blp.response(204)
@blp.page_to_form
def leave(_body: dict[str, Any], *, link: Link) -> Response:
    """Send no more news of deliveries to the address that the mail went to: mail programs post this by one click.

    One-click unsubscribing (RFC 8058): the body is the form `List-Unsubscribe=One-Click`. Twice is the same as once.
    """
    with transaction():
        opt_outs.opt_out_hash(Channel.MAIL, link.hashed, "link")
    return _page(link, done=True) if from_browser() else no_content()


@blp.route("/<token>/undo", methods=("POST",))
@public
@_by_link
@blp.errors_or_page(400)
@blp.response(204)
@blp.page_to_form
def come_back(*, link: Link) -> Response:
    """Send news of deliveries to this address again.

    Undoes the link's unsubscribing; a program gets 204, a browser the page.
    """
    with transaction():
        opt_outs.opt_in_hash(Channel.MAIL, link.hashed, "link")
    return _page(link, done=True) if from_browser() else no_content()


@blp.route("/<token>/preferences")
@public
@_by_link
@blp.errors_or_page(400)
@blp.response(200, RecipientPreferencesOut)
def show_preferences(*, link: Link) -> Response:
    """Read what whoever got the mail wants to be told as a recipient; no address is in it.

    Every event is in it, on or off; the token of the link in the mail is all that it takes.
    """
    return answer(recipients.shown(recipients.wishes_of(link.hashed)))


@blp.route("/<token>/preferences", methods=("POST",))
@public
@_by_link
@blp.errors(413, 415)
@blp.errors_or_page(400, 422)
@blp.arguments(RecipientPreferencesIn, location="json_or_form", form=RecipientPreferencesForm)
@blp.response(204)
@blp.page_to_form
def save_preferences(body: dict[str, Any], *, link: Link) -> Response:
    """Set what whoever got the mail wants to be told as a recipient, whole: what is not in it is as if never set.

    As JSON by programs, as a form by the page; a program gets 204, a browser the page.
    """
    with transaction():
        recipients.replace(link.hashed, **body)
    return _page(link, saved=True) if from_browser() else no_content()
