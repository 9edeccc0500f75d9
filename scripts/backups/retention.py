"""Which backups are kept: the newest, and the newest of each of the last days and weeks that have one."""

import re
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from scripts.backups.manifest import MANIFEST, SUMS

STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"delivery-(\d{8}T\d{6}Z)")


def made_at(name: str) -> datetime | None:
    """Return when a backup of this name was made; None: it is the name of something else."""
    match = _NAME.fullmatch(name)
    try:
        return datetime.strptime(match[1], STAMP) if match else None  # noqa: DTZ007  the Z is in it
    except ValueError:  # a name by hand, of no day that there is
        return None


def surplus(names: Sequence[str], *, newest: int, daily: int, weekly: int) -> list[str]:
    """Return those of these backups that need not be kept; never the newest one."""
    times = sorted(((at, name) for name in names if (at := made_at(name))), reverse=True)
    kept = {name for _, name in times[: max(newest, 1)]}
    for count, period in ((daily, "%Y-%j"), (weekly, "%G-%V")):
        firsts: dict[str, str] = {}
        for at, name in times:
            firsts.setdefault(at.strftime(period), name)
        kept |= set(list(firsts.values())[:count])
    return [name for _, name in times if name not in kept]


def apply(made: Path, *, newest: int, daily: int, weekly: int) -> tuple[list[str], list[str]]:
    """Delete what is surplus beside the backup just made; return its names, and those of backups of a later time.

    Those neither count nor go: a clock was wrong, then or now. What is none of ours stays, and so does a link.
    """
    folder = made.parent
    found = [path for path in folder.iterdir() if (path / MANIFEST).is_file() and (path / SUMS).is_file()]
    names = [path.name for path in found if not path.is_symlink() and made_at(path.name)]
    later = sorted(name for name in names if name > made.name)  # what it is made of sorts as time does
    gone = surplus([name for name in names if name <= made.name], newest=newest, daily=daily, weekly=weekly)
    for name in gone:
        # Not half a backup under its own name, should this be interrupted.
        doomed = (folder / name).rename(folder / f".{name}.partial")
        shutil.rmtree(doomed)
    return gone, later
