"""Dates and times as people write them, in a declared format and zone: one moment each, or a reason why not."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

# Day, month and year in an order that has a name, or a pattern of strptime's with these directives.
NAMED = {"iso": "", "dmy": "dmy", "mdy": "mdy", "ymd": "ymd"}
_PATTERN = re.compile(r"(?:[^%]|%[YymdbBHIMSfpz%])+")
_DATED = ("%d", "%m", "%y", "%Y", "%b", "%B")
_ORDERED = re.compile(
    r"(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\s*([AaPp])\.?[Mm]\.?)?)?"
)
_WEEK_ALONE = re.compile(r"\d{4}-?W\d{2}")
_CENTURY, _NOON = 2000, 12
_MOMENT, _DAY, _WEEK = timedelta(), timedelta(days=1, seconds=-1), timedelta(weeks=1, seconds=-1)
Wall = tuple[datetime, timedelta]  # as the clock on the wall says, and how much later it ends: a date alone is a day


class BadTime(ValueError):
    """No moment, and why; with what was probably meant."""

    def __init__(self, code: str, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.suggestion = code, message, suggestion


def is_format(text: str) -> bool:
    """Tell whether a format is one that times can be read by."""
    if text in NAMED:
        return True
    day, month, year = (
        any(one in text for one in ones) for ones in (_DATED[:1], (*_DATED[1:2], *_DATED[4:]), _DATED[2:4])
    )
    return bool(_PATTERN.fullmatch(text)) and day and month and year


def reader(date_format: str, zone: str, *, latest: bool) -> Callable[[str], str]:
    """Return a function from a cell to a moment in UTC (RFC 3339).

    A time without a zone is one of `zone`. What the clock shows twice, when it is set back, is the earlier moment, or
    the `latest`; so is a date alone the day's beginning, or its end, and a week alone the week's: a window is never
    narrower than it was meant.

    Raises:
        BadTime: it is not of this format, or the clock never showed it.
    """
    parse = _parser(date_format)
    place = ZoneInfo(zone)

    @lru_cache(maxsize=1024)
    def read(cell: str) -> str:
        wall, lasts = parse(cell)
        try:
            if latest:
                wall += lasts
            if wall.tzinfo is None:
                wall = _placed(wall, place, latest=latest)
            return wall.astimezone(UTC).isoformat()
        except OverflowError:
            raise BadTime("invalid", "Must be a date of our time.") from None

    return read


def _placed(wall: datetime, zone: ZoneInfo, *, latest: bool) -> datetime:
    placed = wall.replace(tzinfo=zone, fold=int(latest))
    there_and_back = placed.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if there_and_back != wall:
        before = wall.replace(tzinfo=zone, fold=0)
        shown = before.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
        message = f"The clocks in {zone.key} were set forward and never showed this time."
        raise BadTime("nonexistent_time", message, shown.isoformat(sep=" "))
    return placed


def _parser(date_format: str) -> Callable[[str], Wall]:
    if date_format == "iso":
        return _iso
    if date_format in NAMED:
        return lambda cell: _ordered(cell, date_format)
    lasts = _MOMENT if any(one in date_format for one in ("%H", "%I")) else _DAY
    return lambda cell: (_strptime(cell, date_format), lasts)


def _iso(cell: str) -> Wall:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        hint, meant = _meant(cell)
        message = f"Must be a time of ISO 8601, such as 2026-11-27 14:30.{hint}"
        raise BadTime("invalid", message, meant) from None
    try:
        date.fromisoformat(cell)
    except ValueError:
        return moment, _MOMENT
    return moment, _WEEK if _WEEK_ALONE.fullmatch(cell) else _DAY


def _strptime(cell: str, pattern: str) -> datetime:
    try:
        return datetime.strptime(cell, pattern)  # noqa: DTZ007  its zone, where the pattern has none, is declared
    except ValueError:
        raise BadTime("invalid", f"Must be a time of the format {pattern}.") from None


def _ordered(cell: str, order: str) -> Wall:
    match = _ORDERED.fullmatch(cell)
    found = _in_order(match, order) if match else None
    if found:
        return found
    hint, _ = _meant(cell)
    raise BadTime("invalid", f"Must be a time of the format {order}, such as {_EXAMPLES[order]}.{hint}")


def _meant(cell: str) -> tuple[str, str | None]:
    """Return a sentence about the formats that a cell would be of, and the time where that is one alone."""
    match = _ORDERED.fullmatch(cell)
    found = {order: wall for order in _EXAMPLES if match and (wall := _in_order(match, order))}
    if "dmy" in found and "." in cell:  # with points the day comes first
        found = {"dmy": found["dmy"]}
    if not found:
        return "", None
    [(moment, lasts), *others] = found.values()
    written = moment.isoformat(sep=" ") if lasts == _MOMENT else moment.date().isoformat()
    names = " or ".join(f"`date_format: {order}`" for order in found)
    return f" It would be one with {names}.", None if others else written


_EXAMPLES = {"dmy": "31/12/2026 14:30", "mdy": "12/31/2026 14:30", "ymd": "2026/12/31 14:30"}


def _in_order(match: re.Match[str], order: str) -> Wall | None:
    parts = dict(zip(order, match.group(1, 2, 3), strict=True))
    if len(parts["y"]) not in {2, 4}:
        return None
    year = int(parts["y"]) + (_CENTURY if len(parts["y"]) == 2 else 0)  # noqa: PLR2004  digits
    hour, minute, second = (int(part or 0) for part in match.group(4, 5, 6))
    half = (match[7] or "").lower()
    if half and not 1 <= hour <= _NOON:
        return None
    hour = hour % _NOON + (_NOON if half == "p" else 0) if half else hour
    try:
        wall = datetime(year, int(parts["m"]), int(parts["d"]), hour, minute, second)  # noqa: DTZ001  its zone is declared
    except ValueError:
        return None
    return wall, _MOMENT if match[4] else _DAY
