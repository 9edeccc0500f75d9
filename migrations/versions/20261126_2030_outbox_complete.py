"""Webhooks in the outbox, whose messages these are, and breakers.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "a3c7e5190b42"
down_revision = "d5084b6fc2e7"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
OPEN_WEBHOOK = "channel = 'webhook' AND state IN ('pending', 'sending')"
TWO, THREE = "channel IN ('mail', 'sms')", "channel IN ('mail', 'sms', 'webhook')"


def upgrade() -> None:
    change_channels(TWO, THREE)
    op.add_column("outbox_messages", sa.Column("owner_id", sa.Uuid(), nullable=True))
    op.add_column("outbox_messages", sa.Column("body", sa.Text(), nullable=True))
    op.create_index("ix_outbox_messages_owner", "outbox_messages", ["owner_id", "id"])
    op.create_index(
        "ix_outbox_messages_endpoint",
        "outbox_messages",
        ["recipient_id", "next_at"],
        postgresql_where=sa.text(OPEN_WEBHOOK),
        sqlite_where=sa.text(OPEN_WEBHOOK),
    )
    op.create_table(
        "breakers",
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", TIME, nullable=True),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_breakers"),
    )


def downgrade() -> None:
    op.drop_table("breakers")
    op.execute(
        "DELETE FROM outbox_attempts WHERE message_id IN (SELECT id FROM outbox_messages WHERE channel = 'webhook')"
    )
    op.execute("DELETE FROM outbox_messages WHERE channel = 'webhook'")
    op.drop_index("ix_outbox_messages_endpoint", "outbox_messages")
    op.drop_index("ix_outbox_messages_owner", "outbox_messages")
    op.drop_column("outbox_messages", "body")
    op.drop_column("outbox_messages", "owner_id")
    change_channels(THREE, TWO)


def change_channels(old: str, new: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        rebuild(old, new)
        return
    op.drop_constraint(op.f("ck_outbox_messages_channel"), "outbox_messages", type_="check")
    op.create_check_constraint("channel", "outbox_messages", new)


def rebuild(old: str, new: str) -> None:
    """SQLite changes no constraint: make both tables anew, attempts too, since they refer to messages."""
    connection = op.get_bind()
    tables = ("outbox_messages", "outbox_attempts")
    made = connection.execute(
        sa.text("SELECT tbl_name, sql FROM sqlite_master WHERE tbl_name IN :tables AND sql IS NOT NULL ORDER BY rowid")
        .bindparams(sa.bindparam("tables", tables, expanding=True))
    ).all()  # fmt: skip
    for table in tables:
        op.execute(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}")  # noqa: S608  the names are ours
    for table in reversed(tables):
        op.drop_table(table)
    for table in tables:
        for name, statement in made:
            if name == table:
                connection.exec_driver_sql(statement.replace(old, new))
        op.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")  # noqa: S608
        op.drop_table(f"kept_{table}")
