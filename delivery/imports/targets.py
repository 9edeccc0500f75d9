"""What a column can be put into: the fields of a delivery that the API takes, read off its own schema."""

import re
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from typing import Any

from marshmallow import Schema as MarshmallowSchema
from marshmallow import fields, missing

from delivery.deliveries.exporting import split
from delivery.deliveries.schemas import DeliveryIn
from delivery.imports import dates, guesses
from delivery.imports.dates import BadTime
from delivery.web import Flag, Number, Time, Whole

# Whose the deliveries are is said once, for the file; switches have a shape that no cell has.
_NOT_BY_CELL = frozenset({"owner_id", "notifications"})
_YES = frozenset({"true", "yes", "y", "1", "x", "t", "on"})
_NO = frozenset({"false", "no", "n", "0", "f", "off"})
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
Convert = Callable[[str], Any]
DELIVERY = DeliveryIn()


class BadCell(ValueError):
    """A cell that cannot be what its field is."""

    def __init__(self, message: str, *, code: str = "invalid", suggestion: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.suggestion = code, message, suggestion


def _walk(schema: MarshmallowSchema, path: str = "") -> Iterator[tuple[str, fields.Field[Any]]]:
    for name, field in schema.fields.items():
        if isinstance(field, fields.Nested):
            if name not in _NOT_BY_CELL:
                yield from _walk(field.schema, f"{path}{name}.")
        elif name not in _NOT_BY_CELL:
            yield f"{path}{name}", field


TARGETS: dict[str, fields.Field[Any]] = dict(_walk(DELIVERY))
# What a column may be called that needs no mapping: as its field, or as our own export calls it.
NAMED = {path.replace(".", "_"): path for path in TARGETS} | {path: path for path in TARGETS}
# What every delivery needs; the fields of what need not be there are needed only when another of it is given.
REQUIRED = tuple(
    path for path, field in TARGETS.items()
    if field.required and all(DELIVERY.fields[part].required for part in path.split(".")[:1])
)  # fmt: skip


REQUIRED_PARTS = tuple(dict.fromkeys(path.partition(".")[0] for path in REQUIRED if "." in path))


def schema_of(paths: Collection[str]) -> DeliveryIn:
    """Return the schema of deliveries without fields that no cell gives and that are nothing then: half the work."""
    tops = {path.partition(".")[0] for path in paths} | {*REQUIRED_PARTS}
    used = [path for path, field in TARGETS.items() if path in paths or _counts(path, field, tops)]
    return DeliveryIn(only=[*used, *(name for name in DELIVERY.fields if _counts(name, DELIVERY.fields[name], tops))])


def _counts(path: str, field: fields.Field[Any], tops: Collection[str]) -> bool:
    """Tell whether a field says something when it is not given: that it is needed, or what it is then."""
    return ("." not in path or path.partition(".")[0] in tops) and (field.required or field.load_default is not missing)


def converter(path: str, *, date_format: str, time_zone: str) -> Convert:
    """Return what makes of a cell's text the value that the schema reads.

    Its errors are BadCell.
    """
    field = TARGETS[path]
    if isinstance(field, Time):
        return _time(dates.reader(date_format, time_zone, latest=path.endswith("latest")))
    if isinstance(field, Whole):
        return _whole(next((unit for unit in ("grams", "mm") if path.endswith(f"_{unit}")), None))
    for kind, convert in _CONVERTERS:
        if isinstance(field, kind):
            return convert
    return _country if path.endswith(".country") else str


def _time(read: Callable[[str], str]) -> Convert:
    def convert(cell: str) -> str:
        try:
            return read(cell)
        except BadTime as bad:
            raise BadCell(bad.message, code=bad.code, suggestion=bad.suggestion) from None

    return convert


def _whole(unit: str | None) -> Convert:
    def convert(cell: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,15}", cell):
            raise BadCell("Must be a whole number.", suggestion=guesses.whole(cell, unit=unit))
        return int(cell)

    return convert


def _decimal(cell: str) -> float:
    try:
        return float(cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell)
    except ValueError:
        raise BadCell("Must be a number.") from None


def _flag(cell: str) -> bool:
    word = cell.lower()
    if word in _YES or word in _NO:
        return word in _YES
    near = get_close_matches(word, ("true", "false", "yes", "no"), n=1)
    raise BadCell("Must be yes or no.", suggestion=near[0] if near else None)


def _country(cell: str) -> str:
    """Take a code in any case; what is no code, but a country's name, is an error that suggests the code."""
    code = cell.upper()
    if code in guesses.country_codes():
        return code
    raise BadCell("Must be an ISO 3166-1 alpha-2 code, such as GB.", suggestion=guesses.country(cell))


_CONVERTERS: tuple[tuple[type, Convert], ...] = (
    (Number, _decimal),
    (Flag, _flag),
    (fields.List, split),
)


def near_target(name: str) -> str:
    """Return a sentence about the field that was probably meant, or nothing."""
    near = get_close_matches(name, TARGETS, n=1)
    return f" Did you mean {near[0]}?" if near else ""
