"""Quiet hours by the clock on a person's wall; plain Python."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


def quiet_until(moment: datetime, begin: str, end: str, zone: str) -> datetime | None:
    """Return when the quiet hours end that a moment lies in, in UTC; None: it lies in none.

    `begin` and `end` are "HH:MM" in an IANA time zone; an end before the beginning is on the next day. An hour that
    happens twice belongs to the quiet whole. One that does not happen is read by the offset before the gap, as in
    calendars (RFC 5545, 3.3.5).
    """
    first, last, there = time.fromisoformat(begin), time.fromisoformat(end), ZoneInfo(zone)
    today = moment.astimezone(there).date()
    for day in (today - _DAY, today):
        until = max(_instants(day + (_DAY if last <= first else timedelta()), last, there))
        if min(_instants(day, first, there)) <= moment < until:
            return until
    return None


def _instants(day: date, clock: time, there: ZoneInfo) -> tuple[datetime, datetime]:
    """Return when a clock on the wall shows this: twice when it is set back, else twice the same."""
    shown = datetime.combine(day, clock, tzinfo=there)
    first = shown.astimezone(UTC)
    second = shown.replace(fold=1).astimezone(UTC)
    return first, max(first, second)
