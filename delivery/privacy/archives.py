"""Writing what is held about somebody into one ZIP archive, in constant memory."""

from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import orjson

from delivery import clock
from delivery.privacy.sources import Source, rows

_IN_MEMORY = 1_048_576  # bytes; a larger archive goes on in a temporary file, which has no name
_JSON = orjson.OPT_UTC_Z | orjson.OPT_INDENT_2
_README = """What is held about {whom}, as of {now:%Y-%m-%d %H:%M} UTC.

{files}

Each file is JSON: a list, empty where there is nothing. Times are in UTC. Passwords and tokens are not in here: only
hashes of them are kept, which open nothing.
"""


def export(sources: Sequence[Source], *, whom: str, **who: Any) -> "SpooledTemporaryFile[bytes]":
    """Return an archive of what the sources hold, to be read from its beginning; whoever reads it closes it.

    Args:
        sources: OF_ACCOUNT or OF_RECIPIENT.
        whom: how the README calls the person.
        who: the parameters of the sources.
    """
    file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # the caller closes it
    try:
        with ZipFile(file, "w") as archive:
            for source in sources:
                _write(archive, source, **who)
            files = "\n".join(f"{source.name}.json\n    {source.about}" for source in sources)
            archive.writestr(_entry("README.txt"), _README.format(whom=whom, now=clock.now(), files=files))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _write(archive: ZipFile, source: Source, **who: Any) -> None:
    # Without the room for large sizes, an entry of 2 GiB would fail at its end.
    with archive.open(_entry(f"{source.name}.json"), "w", force_zip64=True) as entry:
        separator = b"[\n"
        for row in rows(source, **who):
            entry.write(separator + orjson.dumps(row, option=_JSON))
            separator = b",\n"
        entry.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, clock.now().timetuple()[:6])
    entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o600 << 16
    return entry
