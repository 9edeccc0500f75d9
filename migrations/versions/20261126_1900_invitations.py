"""Invitations.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "d5084b6fc2e7"
down_revision = "e6f19c83a4d2"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
OPEN = sa.text("accepted_at IS NULL AND revoked_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("accepted_at", TIME, nullable=True),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.CheckConstraint("role IN ('customer', 'courier', 'dispatcher', 'admin')", name="role"),
        sa.CheckConstraint("version >= 1", name="version"),
        sa.CheckConstraint("email = lower(email)", name="email_folded"),
        sa.CheckConstraint("accepted_at IS NULL OR revoked_at IS NULL", name="one_end"),
        sa.ForeignKeyConstraint(["invited_by"], ["users.id"], name="fk_invitations_invited_by"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_invitations_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
    )
    op.create_index(
        "uq_invitations_open", "invitations", ["email"], unique=True, postgresql_where=OPEN, sqlite_where=OPEN
    )


def downgrade() -> None:
    op.drop_table("invitations")
