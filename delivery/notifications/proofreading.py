"""Reads every template of every locale before anybody is written to: it compiles, knows its variables, has words."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jinja2 import TemplateSyntaxError
from jinja2.meta import find_undeclared_variables

from delivery.notifications import rendering, samples
from delivery.notifications.rendering import BROKEN, Wording
from delivery.notifications.shelves import LAYOUTS, Shelf

# What every template is given beside its message's own variables.
GIVEN = frozenset({"locale", "tag", "time_zone", "format", "subject"})


class Mistake(NamedTuple):
    """A file, below the folder of templates, and what is wrong with it."""

    file: str
    what: str


def mistakes(wording: Wording) -> list[Mistake]:
    """Return what is wrong with the templates that are in use, each mistake once."""
    shelf = wording.theirs or wording.ours
    found = [mistake for name in sorted(shelf.locales.values()) for mistake in _in_letters(shelf, name)]
    if wording.theirs:
        found = [*_in_folder(shelf.folders[0], shelf), *found]
    if wording.locale.lower() not in shelf.locales:
        found.append(Mistake(wording.locale, "is the DEFAULT_LOCALE and has no templates"))
    return list(dict.fromkeys(found))


def _in_folder(folder: Path, shelf: Shelf) -> Iterator[Mistake]:
    if not folder.is_dir():
        yield Mistake(str(folder), "is no folder")
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        inner = path.relative_to(folder)
        if inner.suffix == ".md" or any(part.startswith(".") for part in inner.parts):
            continue
        if _is_read(inner):
            yield from (Mistake(str(inner), what) for what in _in_file(path, shelf))
        else:
            yield Mistake(str(inner), "is the template of no message")


def _is_read(inner: Path) -> bool:
    """Whether somebody asks for a file by this name: a slip in it is the commonest mistake."""
    if len(inner.parts) != 2 or inner.suffix not in {".txt", ".html"}:  # noqa: PLR2004  <locale>/<file>
        return False
    name, _, kind = inner.name.partition(".")
    ours = name in samples.SAMPLES and kind in {"mail.txt", "mail.html", "sms.txt"}
    return ours or name.startswith("_") or inner.parts[0] == LAYOUTS


def _in_file(path: Path, shelf: Shelf) -> list[str]:
    """Tell of variables that no message has, in branches that no sample takes, too."""
    allowed = GIVEN | {name for sample in samples.SAMPLES.values() for name in sample}
    try:
        tree = shelf.text.parse(path.read_text(encoding="utf-8"))
        unknown = find_undeclared_variables(tree) - allowed
    except TemplateSyntaxError as error:
        return [f"line {error.lineno}: {error.message}"]
    except (UnicodeError, OSError) as error:
        return [f"cannot be read ({type(error).__name__})"]
    return [f"'{name}' is undefined" for name in sorted(unknown)]


def _in_letters(shelf: Shelf, locale: str) -> Iterator[Mistake]:
    for name in sorted(shelf.names(locale)):
        template, _, channel = name.rpartition(".")
        for sample in samples.variants(template) if template in samples.SAMPLES else ():
            try:
                rendering.words(shelf, template, channel, locale, {**sample, "time_zone": "UTC"})
            except BROKEN as error:
                yield Mistake(f"{locale}/{name}.txt", str(error) or type(error).__name__)
