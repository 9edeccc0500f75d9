"""Which backups stay: never none, and nothing that is not a backup of ours goes."""

from datetime import UTC, datetime, timedelta

import pytest

from scripts.backups import retention

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def named(at):
    return f"delivery-{at:%Y%m%dT%H%M%SZ}"


def left(names, **keep):
    return sorted(set(names) - set(retention.surplus(names, **keep)))


def test_of_hourly_backups_the_newest_and_one_a_day_and_week_stay():
    names = [named(NOON - timedelta(hours=hour)) for hour in range(24 * 40)]
    kept = left(names, newest=3, daily=5, weekly=4)
    assert kept[-3:] == sorted(names[:3])
    days = [name[9:17] for name in kept]
    assert set(days[-5:]) | {"20261125", "20261124", "20261123", "20261122"} <= set(days)
    assert len(kept) <= 3 + 5 + 4
    assert len({datetime.strptime(day, "%Y%m%d").strftime("%G-%V") for day in days}) == 4  # noqa: DTZ007


@pytest.mark.parametrize("newest", [-1, 0, 1])
def test_the_last_one_never_goes(newest):
    names = [named(NOON - timedelta(days=300)), named(NOON - timedelta(days=400))]
    assert left(names, newest=newest, daily=0, weekly=0) == [names[0]]
    assert left(names[:1], newest=newest, daily=0, weekly=0) == names[:1]


def test_what_is_not_ours_stays(tmp_path):
    later = ["delivery-20210101T000001Z", "delivery-20300101T000000Z"]  # a clock was wrong
    for name in ("delivery-20200101T000000Z", "delivery-20210101T000000Z", "delivery-2020", "photos", *later):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
        (tmp_path / name / "SHA256SUMS").touch()
    (tmp_path / "delivery-20190101T000000Z").mkdir()  # without a manifest
    (tmp_path / "delivery-20261399T250000Z").mkdir()  # by hand, of no day that there is
    (tmp_path / "delivery-20180101T000000Z").symlink_to("delivery-20210101T000000Z")
    for name in ("manifest.json", "SHA256SUMS"):
        (tmp_path / "delivery-20261399T250000Z" / name).touch()
    told = retention.apply(tmp_path / "delivery-20210101T000000Z", newest=1, daily=0, weekly=0)
    assert told == (["delivery-20200101T000000Z"], later)
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_old_ones_go_after_the_new_one_is_whole_and_not_when_it_fails(site, capsys):
    old = site.backups / "delivery-20200101T000000Z"
    site.backup().rename(old)
    (site.backups / ".delivery-20200101T000000Z.partial").mkdir()  # of one that was killed
    url = site.settings["DATABASE_URL"]
    site.patch.setenv("DATABASE_URL", f"{url}.gone")
    with pytest.raises(Exception, match="unable to open"):
        site.backup("--keep", 1, "--keep-daily", 0, "--keep-weekly", 0)
    assert site.kept() == [old.name]
    site.patch.setenv("DATABASE_URL", url)
    new = site.backup("--keep", 1, "--keep-daily", 0, "--keep-weekly", 0)
    assert site.kept() == [new.name]
    assert sorted(path.name for path in site.backups.iterdir()) == [".lock", new.name]
    later = site.backups / "delivery-20990101T000000Z"
    new.rename(later)
    capsys.readouterr()
    new = site.backup("--keep", 1, "--keep-daily", 0, "--keep-weekly", 0)
    assert site.kept() == [new.name, later.name]
    _, warning = capsys.readouterr().out.splitlines()
    assert warning == f"Of a later time than this one, so neither counted nor deleted: {later.name}."
