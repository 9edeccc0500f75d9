"""Preferences, opt-outs, and a delivery's own switches.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "b41f7d2c9e60"
down_revision = "c4f82b6d1e73"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
HASH = sa.LargeBinary(length=32)
IN_FORCE = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "opt_outs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("address_hash", HASH, nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("ended_by", sa.String(length=20), nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.CheckConstraint("channel IN ('mail', 'sms')", name="channel"),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended"),
        sa.PrimaryKeyConstraint("id", name="pk_opt_outs"),
    )
    op.create_index(
        "uq_opt_outs_in_force",
        "opt_outs",
        ["address_hash", "channel"],
        unique=True,
        postgresql_where=IN_FORCE,
        sqlite_where=IN_FORCE,
    )
    op.create_index("ix_opt_outs_address", "opt_outs", ["address_hash", "id"])
    op.create_table(
        "notification_preferences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("address_hash", HASH, nullable=True),
        sa.Column("cells", JSON, nullable=False),
        sa.Column("locale", sa.String(length=15), nullable=True),
        sa.Column("quiet_from", sa.String(length=5), nullable=True),
        sa.Column("quiet_to", sa.String(length=5), nullable=True),
        sa.Column("quiet_zone", sa.String(length=40), nullable=True),
        sa.Column("updated_at", TIME, nullable=False),
        sa.CheckConstraint("(user_id IS NULL) <> (address_hash IS NULL)", name="holder"),
        sa.CheckConstraint(
            "(quiet_from IS NULL) = (quiet_to IS NULL) AND (quiet_from IS NULL) = (quiet_zone IS NULL)", name="quiet"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_notification_preferences_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_notification_preferences"),
        sa.UniqueConstraint("user_id", name="uq_notification_preferences_user_id"),
        sa.UniqueConstraint("address_hash", name="uq_notification_preferences_address_hash"),
    )
    op.add_column("deliveries", sa.Column("notifications", JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("deliveries", "notifications")
    op.drop_table("notification_preferences")
    op.drop_table("opt_outs")
