"""Quiet hours: over midnight, and on the days when the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.notifications.quiet_hours import quiet_until

BERLIN = "Europe/Berlin"


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def until(moment, begin, end, zone=BERLIN):
    found = quiet_until(utc(moment), begin, end, zone)
    return found and found.strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("moment", "begin", "end", "expected"),
    [
        # 21:00 to 08:00 in winter is 20:00 to 07:00 UTC.
        ("2026-12-01 19:59:59", "21:00", "08:00", None),
        ("2026-12-01 20:00", "21:00", "08:00", "2026-12-02 07:00"),
        ("2026-12-01 23:30", "21:00", "08:00", "2026-12-02 07:00"),
        ("2026-12-02 06:59:59", "21:00", "08:00", "2026-12-02 07:00"),
        ("2026-12-02 07:00", "21:00", "08:00", None),
        # By day.
        ("2026-12-01 11:30", "12:00", "14:00", "2026-12-01 13:00"),
        ("2026-12-01 13:00", "12:00", "14:00", None),
        # To the last minute, and from midnight on.
        ("2026-12-01 22:59", "00:00", "06:00", None),
        ("2026-12-01 23:00", "00:00", "06:00", "2026-12-02 05:00"),
        ("2026-12-01 22:59", "21:00", "00:00", "2026-12-01 23:00"),
        # The night of 29 March 2026 is an hour shorter: 20:00 UTC to 06:00 UTC.
        ("2026-03-28 20:00", "21:00", "08:00", "2026-03-29 06:00"),
        ("2026-03-29 05:59", "21:00", "08:00", "2026-03-29 06:00"),
        ("2026-03-29 06:00", "21:00", "08:00", None),
        # 02:30 does not happen there; by the offset before, it is 01:30 UTC.
        ("2026-03-29 00:45", "21:00", "02:30", "2026-03-29 01:30"),
        ("2026-03-29 01:30", "21:00", "02:30", None),
        ("2026-03-29 01:15", "02:30", "06:00", None),
        ("2026-03-29 01:30", "02:30", "06:00", "2026-03-29 04:00"),
        # The night of 25 October 2026 is an hour longer: 19:00 UTC to 07:00 UTC.
        ("2026-10-24 19:00", "21:00", "08:00", "2026-10-25 07:00"),
        ("2026-10-25 06:59", "21:00", "08:00", "2026-10-25 07:00"),
        ("2026-10-25 07:00", "21:00", "08:00", None),
        # 02:30 happens twice, at 00:30 and 01:30 UTC: as an end it is the later, as a beginning the earlier.
        ("2026-10-25 00:29", "21:00", "02:30", "2026-10-25 01:30"),
        ("2026-10-25 00:45", "21:00", "02:30", "2026-10-25 01:30"),
        ("2026-10-25 01:30", "21:00", "02:30", None),
        ("2026-10-25 00:30", "02:30", "06:00", "2026-10-25 05:00"),
        ("2026-10-25 01:10", "02:30", "06:00", "2026-10-25 05:00"),
    ],
)
def test_when_it_is_quiet_in_berlin(moment, begin, end, expected):
    assert until(moment, begin, end) == expected


@pytest.mark.parametrize(
    ("zone", "moment", "expected"),
    [
        ("Asia/Kathmandu", "2026-06-01 16:00", "2026-06-02 02:15"),  # five hours and three quarters
        ("Pacific/Kiritimati", "2026-06-01 07:00", "2026-06-01 18:00"),  # already tomorrow
        ("America/Los_Angeles", "2026-06-01 04:30", "2026-06-01 15:00"),  # still yesterday
    ],
)
def test_a_day_is_the_persons_own(zone, moment, expected):
    assert until(moment, "21:00", "08:00", zone) == expected


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001  # made aware below
    st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda pair: pair[0] != pair[1]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Africa/Casablanca"]),
)
def test_after_their_end_it_is_quiet_no_more_and_that_end_is_near(moment, minutes, zone):
    begin, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in minutes)
    moment = moment.replace(tzinfo=UTC)

    found = quiet_until(moment, begin, end, zone)

    if found:
        assert moment < found <= moment + timedelta(hours=26)
        assert quiet_until(found, begin, end, zone) is None
        assert quiet_until(found - timedelta(seconds=1), begin, end, zone) == found
    else:
        shown = moment.astimezone(ZoneInfo(zone)).strftime("%H:%M")
        within = begin <= shown < end if begin < end else shown >= begin or shown < end
        changing = {(moment - timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset() for hours in (0, 3)}
        assert not within or len(changing) == 2
