"""From columns to fields: which cells make a delivery, what stands in for empty ones, and what is wrong with a row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from marshmallow import ValidationError

from delivery.errors import invalid_field, invalid_fields
from delivery.imports import guesses
from delivery.imports.states import OUR_COLUMNS
from delivery.imports.tables import Record, said
from delivery.imports.targets import (
    NAMED,
    REQUIRED,
    REQUIRED_PARTS,
    TARGETS,
    BadCell,
    converter,
    near_target,
    schema_of,
)
from delivery.web.schema import field_errors

RowError = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it came, and what it makes: the columns of a delivery, or errors."""

    number: int
    cells: list[str]
    values: dict[str, Any] | None = None
    # The fields that were given: an update leaves the others alone.
    given: frozenset[str] = frozenset()
    errors: list[RowError] = field(default_factory=list)

    @property
    def reference(self) -> str | None:
        return None if self.values is None else self.values.get("reference")


@dataclass(frozen=True, slots=True)
class _Step:
    """One field: the places of its columns, what makes a value of a text, and what an empty one is."""

    name: str
    path: tuple[str, ...]
    places: tuple[int, ...]
    convert: Callable[[str], Any]
    default: Any


class Plan:
    """How the rows of one file are read."""

    def __init__(self, header: Sequence[str], settings: Mapping[str, Any]) -> None:
        self._header = header
        chosen = chosen_columns(header, settings["mapping"])
        self._columns = {path: _shown(header, places) for path, places in chosen.items()}
        self._steps = [_step(path, chosen.get(path, ()), settings) for path in {**chosen, **settings["defaults"]}]
        self._reference = next((step for step in self._steps if step.name == "reference"), None)
        self._schema = schema_of({step.name for step in self._steps})

    def read(self, number: int, cells: list[str]) -> Row:
        """Return what a row makes."""
        body, given, errors = self._body(cells)
        if any(map(str.strip, cells[len(self._header) :])):
            errors[""] = _error("Has more cells than there are columns.", code="too_many_cells")
        try:
            values = self._schema.load(body)
        except ValidationError as error:
            for found in field_errors(error.messages):
                path = found["pointer"].strip("/").replace("/", ".")
                errors.setdefault(path, self._refused(path, found, body, cells))
        if not errors:
            return Row(number, cells, values, frozenset(given))
        return Row(number, cells, errors=[self._placed(path, error, cells) for path, error in errors.items()])

    def read_all(self, records: Sequence[Record]) -> list[Row]:
        """Return what rows make."""
        return [self.read(number, cells) for number, cells in records]

    def reference_of(self, cells: list[str]) -> str | None:
        """Return a row's reference, without a look at the rest."""
        step = self._reference
        if step is None:
            return None
        found: str | None = _text_of(cells, step.places) or step.default
        return found

    def _body(self, cells: list[str]) -> tuple[dict[str, Any], set[str], dict[str, RowError]]:
        # Their fields are missed by name, not they as a whole.
        body: dict[str, Any] = {top: {} for top in REQUIRED_PARTS}
        given: set[str] = set()
        errors: dict[str, RowError] = {}
        for step in self._steps:
            text = _text_of(cells, step.places)
            try:
                value = step.convert(text) if text else step.default
            except BadCell as bad:
                errors[step.name] = _error(bad.message, code=bad.code, suggestion=bad.suggestion)
                value = None
            if value is not None:
                place = body
                for name in step.path[:-1]:
                    place = place.setdefault(name, {})
                place[step.path[-1]] = value
                given.add(step.name)
        return body, given, errors

    def _refused(self, path: str, found: Mapping[str, str], body: dict[str, Any], cells: list[str]) -> RowError:
        suggestion = None
        if path == "recipient.phone":
            suggestion = guesses.phone(self._text(path, cells), body.get("destination", {}).get("country"))
        return _error(found["message"], code=found["code"], suggestion=suggestion)

    def _placed(self, path: str, error: RowError, cells: list[str]) -> RowError:
        path = path if path in TARGETS else next((one for one in TARGETS if path.startswith(f"{one}.")), path)
        return {
            "column": self._columns.get(path),
            "field": path or None,
            **error,
            "value": self._text(path, cells)[:200],
        }

    def _text(self, path: str, cells: list[str]) -> str:
        return next((_text_of(cells, step.places) for step in self._steps if step.name == path), "")


def _step(path: str, places: Sequence[int], settings: Mapping[str, Any]) -> _Step:
    convert = converter(path, date_format=settings["date_format"], time_zone=settings["time_zone"])
    default = settings["defaults"].get(path)
    return _Step(path, tuple(path.split(".")), tuple(places), convert, None if default is None else convert(default))


def _error(message: str, *, code: str, suggestion: str | None = None) -> RowError:
    return {"code": code, "message": message, "suggestion": suggestion}


def _text_of(cells: Sequence[str], places: Sequence[int]) -> str:
    """Return the text of a field's cells; of several, with spaces between."""
    if len(places) == 1:
        return said(cells[places[0]]) if places[0] < len(cells) else ""
    return " ".join(filter(None, (said(cells[place]) for place in places if place < len(cells))))


def chosen_columns(header: Sequence[str], mapping: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, ...]]:
    """Return the places of each field's columns: those of the mapping; without one, columns that are in NAMED.

    Raises:
        Invalid: a column is not there, or there twice.
    """
    if not mapping:
        return _own_columns(header)
    wrong: dict[str, str] = {}
    chosen: dict[str, tuple[int, ...]] = {}
    for path, named in mapping.items():
        names = [said(name) for name in named]
        for name in names:
            if header.count(name) != 1:
                wrong[f"/options/mapping/{path}"] = _not_once(header, name)
        chosen[path] = tuple(header.index(name) for name in names if name in header)
    if wrong:
        raise invalid_fields(wrong, code="no_such_column")
    return chosen


def _own_columns(header: Sequence[str]) -> dict[str, tuple[int, ...]]:
    own: dict[str, tuple[int, ...]] = {}
    for place, name in enumerate(header):
        path = NAMED.get(name)
        if path in own:
            raise invalid_field("/file", f"The column {name} is there twice.", code="column_twice")
        if path:
            own[path] = (place,)
    return own


def column_of(path: str, header: Sequence[str], mapping: Mapping[str, Sequence[str]]) -> str | None:
    """Return the name of a field's column, or the names of its columns; None: it has none."""
    return _shown(header, chosen_columns(header, mapping).get(path, ())) or None


def _shown(header: Sequence[str], places: Sequence[int]) -> str:
    return ", ".join(header[place] for place in places)


def _not_once(header: Sequence[str], name: str) -> str:
    if name in header:
        return f"The file has several columns {name!r}; name them apart."
    near = get_close_matches(name, header, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"The file has no column {name[:100]!r}.{hint}"


def refuse_gaps(header: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Refuse a file before it runs whose every row would lack something.

    Raises:
        Invalid: fields that every delivery needs have neither a column nor a default.
    """
    given = chosen_columns(header, settings["mapping"]).keys() | settings["defaults"].keys()
    missing = {f"/options/mapping/{path}": "Needs a column or a default." for path in REQUIRED if path not in given}
    if missing:
        raise invalid_fields(missing, code="required")


def wrong_settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a pointer and a message for what settings name that is not there, or that no cell could be."""
    for part in ("mapping", "defaults"):
        for path in settings.get(part, ()):
            if path not in TARGETS:
                yield f"{part}.{path}", f"There is no such field of a delivery.{near_target(path)}"
    for path, default in settings.get("defaults", {}).items():
        if path in TARGETS:
            try:
                converter(path, date_format=settings["date_format"], time_zone=settings["time_zone"])(default)
            except BadCell as bad:
                yield f"defaults.{path}", bad.message


def theirs(header: Sequence[str]) -> list[int]:
    """Return the places of the columns that came with the file, not with errors.csv."""
    return [place for place, name in enumerate(header) if name not in OUR_COLUMNS]
