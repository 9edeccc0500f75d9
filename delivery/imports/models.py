"""The tables of imports: what was asked, the file while it is needed, the rows that were refused, and templates."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import UTC, Base, Json, new_id
from delivery.imports.states import ImportState, OnDuplicate

_STATES = ", ".join(f"'{state}'" for state in ImportState)
_CHOICES = ", ".join(f"'{choice}'" for choice in OnDuplicate)
_UNFINISHED = text("state IN ('queued', 'running')")
_ONCE = text("fingerprint IS NOT NULL")


class Import(Base):
    """One import and how far it has come; `last_row` and the counts are written with the rows themselves."""

    __tablename__ = "imports"
    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        CheckConstraint(f"on_duplicate IN ({_CHOICES})", name="on_duplicate"),
        CheckConstraint("(state IN ('queued', 'running')) = (finished_at IS NULL)", name="finished"),
        CheckConstraint("rows_done = created + updated + skipped + failed", name="counts"),
        Index("ix_imports_creator", "created_by", "id"),
        Index("ix_imports_owner", "owner_id", "id"),
        # The work that there is: next_at is when it is due, or when the lease of whoever is at it ends.
        Index("ix_imports_due", "next_at", postgresql_where=_UNFINISHED, sqlite_where=_UNFINISHED),
        Index(
            "uq_imports_fingerprint", "owner_id", "fingerprint",
            unique=True, postgresql_where=_ONCE, sqlite_where=_ONCE,
        ),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    # Nobody: somebody with a shell.
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    actor_type: Mapped[str] = mapped_column(String(10))
    request_id: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(21))
    on_duplicate: Mapped[str] = mapped_column(String(6))
    dry_run: Mapped[bool]
    notify: Mapped[bool]
    filename: Mapped[str | None] = mapped_column(String(200))
    size_bytes: Mapped[int]
    # Of the file, and of all that decides what it makes; none where it may be imported again.
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    fingerprint: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    settings: Mapped[dict[str, Any]] = mapped_column(Json)
    header: Mapped[list[str]] = mapped_column(Json)
    rows_total: Mapped[int]
    # The last row that was dealt with, counted as a spreadsheet does: the header is 1.
    last_row: Mapped[int] = mapped_column(Integer, default=1)
    rows_done: Mapped[int] = mapped_column(default=0)
    created: Mapped[int] = mapped_column(default=0)
    updated: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    error_code: Mapped[str | None] = mapped_column(String(40))
    next_at: Mapped[datetime] = mapped_column(UTC)
    lease_token: Mapped[UUID | None]
    # Since rows were last written: one that kills its workers is given up.
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UTC)
    started_at: Mapped[datetime | None] = mapped_column(UTC)
    finished_at: Mapped[datetime | None] = mapped_column(UTC)


class ImportChunk(Base):
    """A part of a file, from its upload until its import has ended; an upload that broke off leaves orphans."""

    __tablename__ = "import_chunks"

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ImportBadRow(Base):
    """A row that was refused: its cells as they came, and why."""

    __tablename__ = "import_bad_rows"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("imports.id"), primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    cells: Mapped[list[str]] = mapped_column(Json)
    errors: Mapped[list[dict[str, Any]]] = mapped_column(Json)


class ImportTemplate(Base):
    """How somebody's files are to be read, under a name."""

    __tablename__ = "import_templates"
    __table_args__ = (
        UniqueConstraint("owner_id", "name", name="uq_import_templates_name"),
        CheckConstraint("version >= 1", name="version"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(100))
    settings: Mapped[dict[str, Any]] = mapped_column(Json)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UTC)
    updated_at: Mapped[datetime] = mapped_column(UTC)
