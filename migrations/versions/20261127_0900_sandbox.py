"""Test keys, and what belongs to them: deliveries, messages and endpoints that live ones never meet.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "5b8e21c9d7f4"
down_revision = "b81d5f27c9e4"
branch_labels = None
depends_on = None

TABLES = ("api_keys", "deliveries", "outbox_messages", "webhook_endpoints")
# As SQLAlchemy asks, since SQLite takes a partial index only for the very words of its condition.
TESTS, TESTS_SQLITE, ALIVE = sa.text("test"), sa.text("test = 1"), sa.text("deleted_at IS NULL")
# No test leaves the house but to an endpoint that a test key has made.
CAPTURED = "NOT test OR channel = 'webhook' OR state = 'suppressed'"
NAME = "ck_outbox_messages_captured"
TEST = "BOOLEAN NOT NULL DEFAULT FALSE"


def upgrade() -> None:
    for table in TABLES:
        if table == "outbox_messages" and not is_postgresql():
            op.execute(f"ALTER TABLE {table} ADD COLUMN test {TEST} CONSTRAINT {NAME} CHECK ({CAPTURED})")
        else:
            column = sa.Column("test", sa.Boolean(), nullable=False, server_default=sa.false())
            op.add_column(table, column, if_not_exists=is_postgresql() or None)  # run again after a lock was not had
    op.create_table(
        "sandbox_runs",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("scenario", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_sandbox_runs_delivery_id_deliveries"),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_sandbox_runs"),
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_deliveries_test", "deliveries", ["id"], postgresql_where=sa.text(f"test AND {ALIVE}"),
            sqlite_where=sa.text(f"test = 1 AND {ALIVE}"), postgresql_concurrently=True, if_not_exists=True,
        )  # fmt: skip
        op.create_index(
            "uq_deliveries_reference_once", "deliveries", ["owner_id", "test", "reference"],
            unique=True, postgresql_where=ALIVE, sqlite_where=ALIVE, postgresql_concurrently=True, if_not_exists=True,
        )  # fmt: skip
        index_messages()
        if is_postgresql():
            hold_captured()


def index_messages() -> None:
    parts = []
    if is_postgresql():
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox_messages'::regclass"
        parts = op.get_bind().scalars(sa.text(query)).all()
    for part in parts:
        op.create_index(
            f"ix_test_{part}", part, ["id"], postgresql_where=TESTS, postgresql_concurrently=True, if_not_exists=True
        )
    op.create_index(
        "ix_outbox_messages_test", "outbox_messages", ["id"],
        postgresql_where=TESTS, sqlite_where=TESTS_SQLITE, postgresql_concurrently=not parts, if_not_exists=True,
    )  # fmt: skip


def hold_captured() -> None:
    """Hold new rows to it at once, and look at the old ones while others write; run again, it begins anew."""
    op.execute(
        f"ALTER TABLE outbox_messages DROP CONSTRAINT IF EXISTS {NAME},"
        f" ADD CONSTRAINT {NAME} CHECK ({CAPTURED}) NOT VALID"
    )
    op.execute(f"ALTER TABLE outbox_messages VALIDATE CONSTRAINT {NAME}")


def downgrade() -> None:
    """Nothing tells tests from what is live without these columns, so they must be gone before."""
    bind = op.get_bind()
    if bind.scalar(sa.text("SELECT count(*) FROM deliveries WHERE test AND deleted_at IS NULL")):
        raise RuntimeError("There are test deliveries, which would become live ones; delete them first.")
    op.drop_index("ix_outbox_messages_test", "outbox_messages")
    op.drop_index("uq_deliveries_reference_once", "deliveries")
    op.drop_index("ix_deliveries_test", "deliveries")
    op.drop_table("sandbox_runs")
    op.execute("DELETE FROM api_keys WHERE test")
    op.execute("DELETE FROM webhook_endpoints WHERE test")
    for table in TABLES:
        op.drop_column(table, "test")


def is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
