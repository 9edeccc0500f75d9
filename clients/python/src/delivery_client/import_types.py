"""The shapes of imports and their templates."""

from __future__ import annotations

from typing import Literal, TypedDict, Union

# A column, or several whose texts are put together.
Columns = Union[str, list[str]]  # noqa: UP007  Python 3.10 reads it when the program runs
OnDuplicate = Literal["skip", "update", "error"]
ImportState = Literal["queued", "running", "completed", "completed_with_errors", "failed", "cancelled"]


class ImportSettings(TypedDict, total=False):
    """How a file is read; `mapping` has fields of a delivery and their columns."""

    mapping: dict[str, Columns]
    defaults: dict[str, str]
    delimiter: str | None
    encoding: str | None
    date_format: str
    time_zone: str
    on_duplicate: OnDuplicate


class ImportOptions(ImportSettings, total=False):
    template_id: str | None
    dry_run: bool
    notify: bool
    again: bool
    owner_id: str


class ImportFilters(TypedDict, total=False):
    state: ImportState | None
    limit: int


class _Settings(TypedDict):
    mapping: dict[str, list[str]]
    defaults: dict[str, str]
    delimiter: str | None
    encoding: str | None
    date_format: str
    time_zone: str
    on_duplicate: OnDuplicate


class ImportCounts(TypedDict):
    total: int
    done: int
    created: int
    updated: int
    skipped: int
    failed: int


class Import(_Settings):
    id: str
    state: ImportState
    owner_id: str
    created_by: str | None
    filename: str | None
    size_bytes: int
    encoding_guessed: bool
    dry_run: bool
    notify: bool
    rows: ImportCounts
    progress: float
    error_code: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class _NewTemplate(TypedDict):
    name: str


class NewImportTemplate(ImportSettings, _NewTemplate, total=False):
    pass


class ImportTemplateChanges(ImportSettings, total=False):
    name: str


class ImportTemplate(_Settings):
    id: str
    name: str
    version: int
    created_at: str
    updated_at: str
