"""/api/imports and /api/import-templates."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from delivery_client.transport import at

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from typing_extensions import Unpack

    from delivery_client.import_types import (
        Import,
        ImportFilters,
        ImportOptions,
        ImportTemplate,
        ImportTemplateChanges,
        NewImportTemplate,
    )
    from delivery_client.transport import Transport
    from delivery_client.types import Versioned

_NAME, _TEMPLATES = "imports", "import-templates"
_UNFINISHED = frozenset({"queued", "running"})


class Imports:
    """Deliveries from CSV files, each row once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        file: str | os.PathLike[str] | bytes,
        *,
        filename: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[ImportOptions],
    ) -> Import:
        """Send a file, by its path or as bytes; it is checked at once, and its rows are made later: see wait().

        Conflict `already_imported` where it was sent before: `problem["existing_id"]` is that import.
        """
        data = file if isinstance(file, bytes) else Path(file).read_bytes()
        name = filename or ("import.csv" if isinstance(file, bytes) else Path(file).name)
        parts = {"file": (name, data, "text/csv"), "options": json.dumps(options)}
        return cast("Import", self._transport.upload(at(_NAME), parts, idempotency_key=idempotency_key))

    def get(self, import_id: str) -> Import:
        """Read how far an import has come."""
        return cast("Import", self._transport.get(at(_NAME, import_id)))

    def list(self, **filters: Unpack[ImportFilters]) -> Iterator[Import]:
        """Go through the imports that you made, or whose deliveries are yours, the newest first."""
        return self._transport.pages(at(_NAME), **filters)

    def wait(self, import_id: str, *, timeout_seconds: float = 600, pause_seconds: float = 1) -> Import:
        """Return an import when it has ended; TimeoutError where that takes longer. `state` says how it ended."""
        ends_at = time.monotonic() + timeout_seconds
        while (seen := self.get(import_id))["state"] in _UNFINISHED:
            if time.monotonic() + pause_seconds > ends_at:
                raise TimeoutError(f"The import is {seen['state']} still; {seen['rows']['done']} rows are done.")
            time.sleep(pause_seconds)
        return seen

    def cancel(self, import_id: str) -> Import:
        """End an import where it is; the deliveries that it has made stay."""
        return cast("Import", self._transport.post(at(_NAME, import_id, "cancel")))

    def errors_csv(self, import_id: str) -> bytes:
        """Read the refused rows, with reasons; put right, the file can be imported."""
        return self._transport.file("GET", at(_NAME, import_id, "errors.csv"))


class ImportTemplates:
    """How your files are read, under a name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, *, idempotency_key: str | None = None, **template: Unpack[NewImportTemplate]) -> ImportTemplate:
        """Keep settings under a name."""
        made = self._transport.post(at(_TEMPLATES), template, idempotency_key=idempotency_key)
        return cast("ImportTemplate", made)

    def list(self, *, limit: int = 100) -> Iterator[ImportTemplate]:
        """Go through your templates, the newest first."""
        return self._transport.pages(at(_TEMPLATES), limit=limit)

    def get(self, template_id: str) -> ImportTemplate:
        """Read one of your templates."""
        return cast("ImportTemplate", self._transport.get(at(_TEMPLATES, template_id)))

    def edit(
        self, seen: Versioned, *, idempotency_key: str | None = None, **changes: Unpack[ImportTemplateChanges]
    ) -> ImportTemplate:
        """Change a template; StaleVersion where it has changed since it was `seen`."""
        path = at(_TEMPLATES, seen["id"])
        return cast("ImportTemplate", self._transport.patch(path, seen, changes, idempotency_key=idempotency_key))

    def delete(self, seen: Versioned) -> None:
        """Delete a template; StaleVersion where it has changed since it was `seen`."""
        self._transport.delete(at(_TEMPLATES, seen["id"]), seen)
