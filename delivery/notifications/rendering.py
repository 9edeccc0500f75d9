"""Letters out of templates: <locale>/<template>.{mail.txt,mail.html,sms.txt}, compiled once."""

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from delivery.notifications.channels import Letter
from delivery.notifications.states import Channel

_FOLDER = Path(__file__).parent / "templates"
DEFAULT_LOCALE = "en"


def letter(
    template: str,
    *,
    locale: str | None,
    channel: str,
    address: str,
    context: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> Letter:
    """Word a message in the reader's language, or the nearest that there is.

    The templates of mails define two blocks, `subject` and `body`, and extend a layout.

    Raises:
        jinja2.TemplateNotFound: there is no such template.
        jinja2.UndefinedError: the context lacks something.
    """
    if channel == Channel.SMS:
        return Letter(address, _find(template, "sms.txt", locale=locale).render(context).strip())
    text = _find(template, "mail.txt", locale=locale)
    subject = _block(text, "subject", context)
    html = _find(template, "mail.html", locale=locale).render(context, subject=subject)
    return Letter(address, text.render(context), subject, html, dict(headers or {}))


def _block(template: Template, name: str, context: Mapping[str, Any]) -> str:
    """Render one block on one line, so that no name of a thing can begin a header."""
    words = "".join(template.blocks[name](template.new_context(dict(context))))
    return " ".join(words.split())


def _find(template: str, kind: str, *, locale: str | None) -> Template:
    wanted = locale or DEFAULT_LOCALE
    locales = dict.fromkeys((wanted, wanted.partition("-")[0], DEFAULT_LOCALE))
    return _environment().select_template([f"{one}/{template}.{kind}" for one in locales])


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.filters["day_and_time"] = day_and_time
    environment.filters["window"] = window
    return environment


def day_and_time(moment: datetime) -> str:
    """Return a moment as people write it, in UTC: `24 November, 09:00`."""
    there = moment.astimezone(UTC)
    return f"{there.day} {there:%B, %H:%M}"


def window(earliest: datetime | None, latest: datetime | None) -> str:
    """Return a time window as people write it: `24 November, 09:00 to 11:00 UTC`; either end may be open."""
    if earliest is None or latest is None:
        edges = [f"from {day_and_time(earliest)}" if earliest else "", f"by {day_and_time(latest)}" if latest else ""]
        return f"{''.join(edges)} UTC" if any(edges) else ""
    same_day = earliest.astimezone(UTC).date() == latest.astimezone(UTC).date()
    end = f"{latest.astimezone(UTC):%H:%M}" if same_day else day_and_time(latest)
    return f"{day_and_time(earliest)} to {end} UTC"
