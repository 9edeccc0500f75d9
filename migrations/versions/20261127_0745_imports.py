"""Imports: their files, their bad rows, and templates of how files are read.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "6b0e94d1c7f2"
down_revision = "f27d90b3c8a1"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
STATES = "'queued', 'running', 'completed', 'completed_with_errors', 'failed', 'cancelled'"


def where(condition: str) -> dict[str, sa.TextClause]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    create_imports()
    op.create_table(
        "import_chunks",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "number", name="pk_import_chunks"),
    )
    op.create_table(
        "import_bad_rows",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cells", JSON, nullable=False),
        sa.Column("errors", JSON, nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name="fk_import_bad_rows_import_id"),
        sa.PrimaryKeyConstraint("import_id", "row", name="pk_import_bad_rows"),
    )
    op.create_table(
        "import_templates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.CheckConstraint("version >= 1", name="version"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_import_templates_owner_id"),
        sa.PrimaryKeyConstraint("id", name="pk_import_templates"),
        sa.UniqueConstraint("owner_id", "name", name="uq_import_templates_name"),
    )


def downgrade() -> None:
    op.drop_table("import_templates")
    op.drop_table("import_bad_rows")
    op.drop_table("import_chunks")
    op.drop_table("imports")


def create_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("actor_type", sa.String(length=10), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=21), nullable=False),
        sa.Column("on_duplicate", sa.String(length=6), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("notify", sa.Boolean(), nullable=False),
        sa.Column("filename", sa.String(length=200), nullable=True),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=True),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("header", JSON, nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in (
                "rows_total", "last_row", "rows_done", "created", "updated", "skipped", "failed", "attempts",
            )
        ),
        sa.Column("error_code", sa.String(length=40), nullable=True),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.CheckConstraint(f"state IN ({STATES})", name="state"),
        sa.CheckConstraint("on_duplicate IN ('skip', 'update', 'error')", name="on_duplicate"),
        sa.CheckConstraint("(state IN ('queued', 'running')) = (finished_at IS NULL)", name="finished"),
        sa.CheckConstraint("rows_done = created + updated + skipped + failed", name="counts"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_imports_owner_id"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_imports_created_by"),
        sa.PrimaryKeyConstraint("id", name="pk_imports"),
    )  # fmt: skip
    op.create_index("ix_imports_creator", "imports", ["created_by", "id"])
    op.create_index("ix_imports_owner", "imports", ["owner_id", "id"])
    op.create_index("ix_imports_due", "imports", ["next_at"], **where("state IN ('queued', 'running')"))
    op.create_index(
        "uq_imports_fingerprint", "imports", ["owner_id", "fingerprint"], unique=True,
        **where("fingerprint IS NOT NULL"),
    )  # fmt: skip
