"""Erasures, the deliveries that each has still to reach, and indexes to find what is held about somebody.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "e6f19c83a4d2"
down_revision = "b7d2903e5f18"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
# Name, table, columns, and which rows are in it.
INDEXES = (
    ("ix_deliveries_recipient_email", "deliveries", ["recipient_email", "id"], "recipient_email IS NOT NULL"),
    ("ix_deliveries_recipient_phone", "deliveries", ["recipient_phone", "id"], "recipient_phone IS NOT NULL"),
    ("ix_deliveries_owner_deleted", "deliveries", ["owner_id", "id"], "deleted_at IS NOT NULL"),
    ("ix_delivery_events_actor", "delivery_events", ["actor_id", "delivery_id", "seq"], "actor_id IS NOT NULL"),
    ("ix_outbox_messages_recipient", "outbox_messages", ["recipient_id", "id"], None),
)


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("email_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("phone_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("counts", JSON, nullable=False),
        sa.CheckConstraint("kind IN ('user', 'recipient')", name="kind"),
        sa.CheckConstraint("(kind = 'user') = (user_id IS NOT NULL)", name="user"),
        sa.CheckConstraint(
            "(kind = 'recipient') = (email_hash IS NOT NULL OR phone_hash IS NOT NULL)", name="recipient"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
        sa.UniqueConstraint("user_id", name="uq_erasures_user_id"),
    )
    op.create_table(
        "erasure_deliveries",
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.id"], name="fk_erasure_deliveries_erasure_id"),
        sa.PrimaryKeyConstraint("erasure_id", "delivery_id", name="pk_erasure_deliveries"),
    )
    for name, table, columns, which in INDEXES:
        where = {"postgresql_where": sa.text(which), "sqlite_where": sa.text(which)} if which else {}
        op.create_index(name, table, columns, **where)


def downgrade() -> None:
    for name, table, _columns, _which in reversed(INDEXES):
        op.drop_index(name, table)
    op.drop_table("erasure_deliveries")
    op.drop_table("erasures")
