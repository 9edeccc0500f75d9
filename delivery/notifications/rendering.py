"""Letters out of templates: <locale>/<template>.{mail,sms}.txt, ours and an operator's, compiled once.

A mail's file has the words, once; the layouts make a text and an HTML page of them.
"""

import functools
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from flask import Config, Flask, current_app
from jinja2 import TemplateError, TemplateRuntimeError

from delivery.notifications.channels import Letter
from delivery.notifications.shelves import Shelf

logger = logging.getLogger(__name__)

OURS = Path(__file__).parent / "templates"
DEFAULT_LOCALE, DEFAULT_TIME_ZONE = "en", "UTC"
# What an operator's template can raise: it has expressions, and no code.
BROKEN = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
_KEY = "delivery.notifications.wording"


class Words(NamedTuple):
    """What a letter says; text messages have neither subject nor HTML."""

    text: str
    subject: str = ""
    html: str = ""


class Wording:
    """The templates of one app: ours, and before them those of its operator's folder.

    A broken template of the operator's is an error in the log, and ours is sent in its place: what a letter tells
    matters more than how it looks, and a link for a new password cannot wait until somebody has mended a file.
    """

    def __init__(
        self, *, folder: Path | None = None, locale: str = DEFAULT_LOCALE, time_zone: str = DEFAULT_TIME_ZONE
    ) -> None:
        self.locale, self.time_zone = locale, time_zone
        self.ours = Shelf(OURS, locales=(locale, DEFAULT_LOCALE))
        self.theirs = None if folder is None else Shelf(folder, OURS, locales=(locale, DEFAULT_LOCALE))
        self._told: set[tuple[str, str]] = set()

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(folder=config["TEMPLATES_FOLDER"], locale=config["DEFAULT_LOCALE"], time_zone=config["TIME_ZONE"])

    def words(self, template: str, channel: str, locale: str | None, context: Mapping[str, Any]) -> Words:
        if self.theirs is not None:
            try:
                return words(self.theirs, template, channel, locale, context)
            except BROKEN as error:
                self._tell(template, channel, error)
        return words(self.ours, template, channel, locale, context)

    def _tell(self, template: str, channel: str, error: Exception) -> None:
        """Once a process, as thousands may follow; only Jinja's errors are known to quote no value."""
        what = f"{template}.{channel}"
        why = str(error) if isinstance(error, TemplateError) else type(error).__name__
        if (what, why) not in self._told:
            self._told.add((what, why))
            logger.error("TEMPLATES_FOLDER: %s is broken, ours is sent instead: %s", what, why)


def init_app(app: Flask) -> None:
    app.extensions[_KEY] = Wording.from_config(app.config)


def wording() -> Wording:
    """Return the app's templates; ours alone where there is no app."""
    given: Wording = current_app.extensions[_KEY] if current_app else _without_app()
    return given


@functools.cache
def _without_app() -> Wording:
    return Wording()


def locales() -> list[str]:
    """Return the locales that there are templates in."""
    given = wording()
    return sorted((given.theirs or given.ours).locales.values())


def letter(
    template: str,
    *,
    locale: str | None,
    channel: str,
    address: str,
    context: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    time_zone: str | None = None,
) -> Letter:
    """Word a message in the reader's language, or the nearest that there is, and in the reader's time zone if known.

    Raises:
        jinja2.TemplateNotFound: there is no such template.
        jinja2.UndefinedError: the context lacks something.
    """
    given = wording()
    # UTC is what an account has that chose none.
    zone = given.time_zone if time_zone in {None, DEFAULT_TIME_ZONE} else time_zone
    made = given.words(template, channel, locale, {**context, "time_zone": zone})
    return Letter(address, made.text, made.subject, made.html, dict(headers or {}))


def words(shelf: Shelf, template: str, channel: str, locale: str | None, context: Mapping[str, Any]) -> Words:
    """Word a message by the templates of one shelf.

    Raises:
        one of BROKEN: they cannot be used.
    """
    found = shelf.find(template, channel, locale)
    given = {**context, "locale": found.locale, "tag": found.tag}
    text = found.text.render(given)
    if found.html is None:
        return Words(text.strip())
    subject, _, body = text.partition("\n\n")
    subject = " ".join(subject.split())
    if not subject or not body:
        raise TemplateRuntimeError("its text has to be a subject, an empty line, and a body")
    return Words(re.sub(r"\n{3,}", "\n\n", body.lstrip("\n")), subject, found.html.render(given, subject=subject))
