"""Attempts, which the limits count.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "8e2b5d90c3f1"
down_revision = "4c1f0a6be2d7"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=32), nullable=True),
        sa.Column("address", sa.LargeBinary(length=32), nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
    )
    op.create_index("ix_attempts_subject", "attempts", ["action", "subject", "at"])
    op.create_index("ix_attempts_address", "attempts", ["action", "address", "at"])
    op.create_index("ix_attempts_at", "attempts", ["at"])
    op.create_table(
        "attempt_streaks",
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_attempt_streaks"),
    )
    op.create_index("ix_attempt_streaks_last_at", "attempt_streaks", ["last_at"])


def downgrade() -> None:
    op.drop_table("attempt_streaks")
    op.drop_table("attempts")
