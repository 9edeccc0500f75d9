"""Moments as people write them, by Babel (CLDR): in a reader's language and time zone."""

import functools
import re
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_timezone_name, match_skeleton

# Our English is that of letters to everywhere: the day before the month, and 24 hours.
_DEFAULT_REGIONS = {"en": "en-GB"}
_DAY = "MMMMEEEEd"


class Written(NamedTuple):
    day: str
    hour: str
    zone: str


@functools.lru_cache(maxsize=256)
def known(*tags: str) -> str:
    """Return the first of these language tags that Babel knows, or English; `de-AT` has months of its own."""
    for tag in tags:
        name = _DEFAULT_REGIONS.get(tag, tag)
        try:
            Locale.parse(name, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
        return name
    return _DEFAULT_REGIONS["en"]


@functools.lru_cache(maxsize=4096)
def written(moment: datetime, *, tag: str, time_zone: str) -> Written:
    """Return the day, the hour and the zone's name: `Tuesday 24 November`, `09:00`, `CET`."""
    locale, there = _locale(tag), moment.astimezone(ZoneInfo(time_zone))
    return Written(
        format_date(there, _day_pattern(tag), locale=locale),
        format_time(there, "short", locale=locale),
        _zone(there, time_zone, locale),
    )


def window(
    patterns: tuple[str, ...], earliest: datetime | None, latest: datetime | None, *, tag: str, time_zone: str
) -> str:
    """Return a time window by one of four patterns: within a day, over days, open at its end, open at its beginning."""
    first = written(earliest, tag=tag, time_zone=time_zone) if earliest else None
    last = written(latest, tag=tag, time_zone=time_zone) if latest else None
    pattern = _pattern(patterns, first, last)
    start, end = first or Written("", "", ""), last or Written("", "", "")
    words = {"first_day": start.day, "start": start.hour, "last_day": end.day, "end": end.hour}
    return pattern % {**words, "zone": end.zone or start.zone}


def _pattern(patterns: tuple[str, ...], first: Written | None, last: Written | None) -> str:
    within, over, open_end, open_start = patterns
    if first is None:
        return open_start
    if last is None:
        return open_end
    return within if first.day == last.day else over


@functools.cache
def _locale(tag: str) -> Locale:
    return Locale.parse(tag, sep="-")


@functools.cache
def _day_pattern(tag: str) -> str:
    """CLDR's order and signs, with the weekday in full."""
    skeletons = _locale(tag).datetime_skeletons
    name = match_skeleton(_DAY, skeletons)
    return re.sub("E+", "EEEE", skeletons[name].pattern) if name else "EEEE d MMMM"


def _zone(there: datetime, time_zone: str, locale: Locale) -> str:
    if time_zone == "UTC":
        return "UTC"
    name = get_timezone_name(there, width="short", locale=locale)
    return f"UTC{name[:3]}:{name[3:]}" if re.fullmatch(r"[+-]\d{4}", name) else name
