"""Dates as people write them: one moment each, or a reason why not."""

import pytest

from delivery.imports import dates
from delivery.imports.dates import BadTime

READ = [
    ("iso", "UTC", "2026-11-27T14:30:00Z", "2026-11-27T14:30:00+00:00"),
    ("iso", "Europe/Berlin", "2026-11-27 14:30", "2026-11-27T13:30:00+00:00"),
    ("iso", "Europe/Berlin", "2026-11-27T14:30+05:00", "2026-11-27T09:30:00+00:00"),
    ("mdy", "America/Sao_Paulo", "10/2/2017 10:56", "2017-10-02T13:56:00+00:00"),
    ("dmy", "UTC", "2.10.17", "2017-10-02T00:00:00+00:00"),
    ("dmy", "UTC", "02-10-2017 12:05:09", "2017-10-02T12:05:09+00:00"),
    ("mdy", "UTC", "1/31/2026 12:05 am", "2026-01-31T00:05:00+00:00"),
    ("mdy", "UTC", "1/31/2026 1:05 PM", "2026-01-31T13:05:00+00:00"),
    ("ymd", "UTC", "2026/2/28", "2026-02-28T00:00:00+00:00"),
    ("%d %b %Y %H.%M", "UTC", "7 Mar 2026 09.05", "2026-03-07T09:05:00+00:00"),
]


@pytest.mark.parametrize(("date_format", "zone", "cell", "moment"), READ)
def test_a_time_is_read_as_declared(date_format, zone, cell, moment):
    assert dates.reader(date_format, zone, latest=False)(cell) == moment


def test_a_date_alone_is_the_whole_day():
    assert dates.reader("iso", "Europe/Berlin", latest=False)("2026-11-27") == "2026-11-26T23:00:00+00:00"
    assert dates.reader("iso", "Europe/Berlin", latest=True)("2026-11-27") == "2026-11-27T22:59:59+00:00"
    assert dates.reader("%d.%m.%Y", "UTC", latest=True)("27.11.2026") == "2026-11-27T23:59:59+00:00"


@pytest.mark.parametrize(
    ("date_format", "cell"),
    [
        ("iso", "2027-02-03"), ("iso", "20270203"), ("iso", "2027-W05-3"), ("iso", "2027W053"), ("dmy", "3/2/2027"),
        ("ymd", "2027/2/3"), ("%d %b %Y", "3 Feb 2027"), ("%d %b %Y %z", "3 Feb 2027 +0000"),
    ],
)  # fmt: skip
def test_a_date_alone_is_the_whole_day_however_it_is_written(date_format, cell):
    assert dates.reader(date_format, "UTC", latest=False)(cell) == "2027-02-03T00:00:00+00:00"
    assert dates.reader(date_format, "UTC", latest=True)(cell) == "2027-02-03T23:59:59+00:00"


@pytest.mark.parametrize("cell", ["2027-W05", "2027W05"])
def test_a_week_alone_is_the_whole_week(cell):
    assert dates.reader("iso", "UTC", latest=False)(cell) == "2027-02-01T00:00:00+00:00"
    assert dates.reader("iso", "UTC", latest=True)(cell) == "2027-02-07T23:59:59+00:00"


@pytest.mark.parametrize("cell", ["20270203T10", "2027-02-03 10:00", "2027-W05-3T10:00:00", "2027-02-03 10:00:00.000"])
def test_a_time_of_day_is_that_moment(cell):
    assert dates.reader("iso", "UTC", latest=True)(cell) == "2027-02-03T10:00:00+00:00"


def test_what_the_clock_shows_twice_makes_no_window_narrower():
    twice = "2026-10-25 02:30"
    assert dates.reader("iso", "Europe/Berlin", latest=False)(twice) == "2026-10-25T00:30:00+00:00"
    assert dates.reader("iso", "Europe/Berlin", latest=True)(twice) == "2026-10-25T01:30:00+00:00"


@pytest.mark.parametrize("latest", [False, True])
def test_what_the_clock_never_showed_is_refused_with_what_it_showed_then(latest):
    with pytest.raises(BadTime) as bad:
        dates.reader("iso", "Europe/Berlin", latest=latest)("2026-03-29 02:30")
    assert (bad.value.code, bad.value.suggestion) == ("nonexistent_time", "2026-03-29 03:30:00")


@pytest.mark.parametrize(
    ("date_format", "cell"),
    [
        ("iso", "27/11/2026"), ("iso", "tomorrow"), ("dmy", "1/31/2026"), ("mdy", "31/1/2026 1:00"),
        ("dmy", "30.2.2026"), ("mdy", "1/1/2026 13:00 pm"),
        ("dmy", "1/1/0"), ("%d.%m.%Y", "1.1.26x"), ("iso", "9999-12-31T23:59:59-23:00"),
        ("iso", "0001-01-01T00:00:00+23:00"), ("dmy", "1/1/2026 25:00"), ("dmy", "1" * 10_000),
    ],
)  # fmt: skip
def test_what_is_no_time_of_the_format_is_refused(date_format, cell):
    with pytest.raises(BadTime):
        dates.reader(date_format, "UTC", latest=False)(cell)


def test_a_date_of_another_order_is_told_its_format():
    with pytest.raises(BadTime, match=r"It would be one with `date_format: mdy`\."):
        dates.reader("dmy", "UTC", latest=False)("1/31/2026")


@pytest.mark.parametrize(
    ("cell", "formats", "suggestion"),
    [
        ("01.02.2030", "`date_format: dmy`", "2030-02-01"),
        ("1/31/2030 9:05 pm", "`date_format: mdy`", "2030-01-31 21:05:00"),
        ("1/2/2030", "`date_format: dmy` or `date_format: mdy`", None),
    ],
)
def test_a_date_that_is_not_iso_is_told_its_format(cell, formats, suggestion):
    with pytest.raises(BadTime, match=f"It would be one with {formats}\\.") as bad:
        dates.reader("iso", "UTC", latest=False)(cell)
    assert bad.value.suggestion == suggestion
