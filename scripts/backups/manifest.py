"""What a backup says of itself, and whether it is whole: manifest.json, and SHA256SUMS as sha256sum reads it."""

import configparser
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.backups.failures import Failed
from scripts.backups.sealing import KINDS, sha256

FORMAT = 1
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
ROOT = Path(__file__).parents[2]
_REVISION = re.compile(r"^revision = [\"'](\w+)[\"']", re.MULTILINE)


@dataclass(frozen=True)
class Manifest:
    """What was saved: `tables` counts the rows of each, at the moment that the backup shows."""

    version: str
    created_at: str
    engine: str
    revision: str
    tables: dict[str, int]
    database: str
    files: str | None
    sealed: str | None
    product: str = "delivery"
    format: int = FORMAT

    @property
    def is_known(self) -> bool:
        """Whether this code can bring the schema up to date."""
        return self.revision in _revisions()


def own_version() -> str:
    """Return the version of this code."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser["metadata"]["version"]


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, and the hashes of everything in the folder."""
    text = json.dumps(asdict(manifest), indent=2) + "\n"
    _write(folder / MANIFEST, text)
    names = sorted(path.name for path in folder.iterdir())
    _write(folder / SUMS, "".join(f"{sha256(folder / name)}  {name}\n" for name in names))
    keep_names(folder)


def keep_names(folder: Path) -> None:
    """See that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def checked(folder: Path) -> Manifest:
    """Return the manifest of a backup that is whole and that this code can read.

    Raises:
        Failed: it is none of ours, damaged, incomplete, or newer than this code.
    """
    manifest = whole(folder)
    if not manifest.is_known:
        raise _bad(
            folder,
            f"its schema ({manifest.revision}, of version {manifest.version}) is not known to this version"
            f" {own_version()}: use the code that made it, or newer",
        )
    return manifest


def whole(folder: Path) -> Manifest:
    """Return the manifest of a backup of which nothing is missing or damaged, of whatever schema.

    Raises:
        Failed: it is none of ours, damaged, or incomplete.
    """
    sums = _checked_sums(folder)
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = _manifest(found)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _bad(folder, "its manifest cannot be read") from None
    for name in _members(manifest):
        if name not in sums:
            raise _bad(folder, f"{SUMS} does not name {name}")
    return manifest


def _manifest(found: dict[str, Any]) -> Manifest:
    if found["product"] != "delivery" or found["format"] != FORMAT:
        raise ValueError
    manifest = Manifest(**found)
    _check_kinds(manifest)
    if any(Path(name).name != name for name in _members(manifest)) or manifest.sealed not in {None, *KINDS}:
        raise ValueError
    return manifest


def _check_kinds(manifest: Manifest) -> None:
    texts = (manifest.version, manifest.created_at, manifest.engine, manifest.revision, *_members(manifest))
    # What is no text has no such method, and what has several lines would be several where it is told.
    if not all(map(str.isprintable, texts)) or any(type(count) is not int for count in manifest.tables.values()):
        raise ValueError


def _members(manifest: Manifest) -> list[str]:
    return [manifest.database, *([manifest.files] if manifest.files else [])]


def _checked_sums(folder: Path) -> dict[str, str]:
    """Return the hashes of a folder's files, which are as they say."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (FileNotFoundError, NotADirectoryError):
        raise _bad(folder, f"it has no {SUMS}") from None
    except ValueError:
        raise _bad(folder, f"its {SUMS} cannot be read") from None
    if MANIFEST not in sums:
        raise _bad(folder, "its manifest is missing")
    for name, digest in sums.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise _bad(folder, f"{name} is missing")
        if sha256(path) != digest:
            raise _bad(folder, f"{name} is damaged")
    return sums


def _revisions() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "migrations/versions").glob("*.py")]
    return {match for text in texts for match in _REVISION.findall(text)}


def _bad(folder: Path, why: str) -> Failed:
    return Failed(f"{folder} is no backup that can be restored: {why}", os.EX_DATAERR)
