"""The project's Python files, watched for `flask up --reload`."""

import time
from pathlib import Path

EVERY_SECONDS = 1.0


class Sources:
    """Notices that a file below the current folder was changed, added or removed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen = self._look()
        self._next = time.monotonic() + EVERY_SECONDS

    def changed(self) -> bool:
        """Whether anything changed since the last look; looks once a second at most."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + EVERY_SECONDS
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _look(self) -> dict[Path, int]:
        files = [*self._root.glob("*.py"), *self._root.glob("delivery/**/*.py"), *self._root.glob(".env")]
        return {path: path.stat().st_mtime_ns for path in files if path.exists()}
