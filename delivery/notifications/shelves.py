"""Where templates are found and how they are compiled: the folders of one origin, the locales in them."""

import functools
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    pass_context,
)
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from delivery.notifications import dates
from delivery.notifications.states import Channel

LAYOUTS = "_layout"
_HIDDEN = ("_", ".")


class Found(NamedTuple):
    """A template in the nearest locale that has it, and the language tag by which dates are written there."""

    text: Template
    html: Template | None
    locale: str
    tag: str


class Shelf:
    """Templates of one or more folders; what stands in an earlier one wins.

    Each mail's words are compiled twice, as text and, escaping what is put in, as HTML.
    """

    def __init__(self, *folders: Path, locales: Iterable[str]) -> None:
        self.folders, self._defaults = folders, tuple(locales)
        # What operators write is no code: it reads what it is given and reaches nothing else.
        kind = Environment if len(folders) == 1 else ImmutableSandboxedEnvironment
        self.text = _environment(kind, folders, escape=False)
        self.html = _environment(kind, folders, escape=True)
        self.find: Callable[[str, str, str | None], Found] = functools.lru_cache(maxsize=2048)(self._find)

    @functools.cached_property
    def locales(self) -> dict[str, str]:
        """The folders' names, by themselves in small letters."""
        inner = [path for folder in self.folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()]
        return {path.name.lower(): path.name for path in sorted(inner) if not path.name.startswith(_HIDDEN)}

    def names(self, locale: str) -> set[str]:
        """The templates of a locale: `created.mail`, `created.sms`."""
        files = [path for folder in self.folders for path in (folder / locale).glob("*.txt")]
        return {path.name.removesuffix(".txt") for path in files if not path.name.startswith(_HIDDEN)}

    def _find(self, template: str, channel: str, locale: str | None) -> Found:
        wanted = locale or self._defaults[0]
        for tag in dict.fromkeys(near for each in (wanted, *self._defaults) for near in (each, each.partition("-")[0])):
            folder = self.locales.get(tag.lower())
            if folder and f"{template}.{channel}" in self.names(folder):
                return self._found(f"{folder}/{template}.{channel}", channel, folder, wanted)
        raise TemplateNotFound(f"{template}.{channel}.txt")

    def _found(self, name: str, channel: str, folder: str, wanted: str) -> Found:
        html = self.html.select_template([f"{name}.html", f"{name}.txt"]) if channel == Channel.MAIL else None
        akin = wanted.partition("-")[0].lower() == folder.partition("-")[0].lower()
        tag = dates.known(wanted, folder) if akin else dates.known(folder)
        return Found(self.text.get_template(f"{name}.txt"), html, folder, tag)


def _environment(kind: type[Environment], folders: tuple[Path, ...], *, escape: bool) -> Environment:
    loader = FileSystemLoader(folders)
    environment = kind(
        # An operator's template may extend the one that it replaces: `builtin/de/created.mail.txt`.
        loader=ChoiceLoader([loader, PrefixLoader({"builtin": FileSystemLoader(folders[-1])})]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.globals["format"] = "html" if escape else "txt"
    environment.filters |= {"window": _window, "paragraphs": _paragraphs, "day": _day, "hour": _hour}
    return environment


def _how(context: Context) -> dict[str, str]:
    return {"tag": context["tag"], "time_zone": context["time_zone"]}


@pass_context
def _window(context: Context, delivery: Any, *patterns: str) -> str:
    return dates.window(patterns, delivery.window_earliest, delivery.window_latest, **_how(context))


@pass_context
def _day(context: Context, moment: datetime) -> str:
    return dates.written(moment, **_how(context)).day


@pass_context
def _hour(context: Context, moment: datetime) -> str:
    return dates.written(moment, **_how(context)).hour


def _paragraphs(text: str, attributes: str) -> Markup:
    """Make paragraphs of HTML that empty lines divide."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", text)]
    return Markup("".join(f"<p {attributes}>{part}</p>\n" for part in parts if part))  # noqa: S704  the template escapes
