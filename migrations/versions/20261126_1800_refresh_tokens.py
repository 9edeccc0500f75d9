"""Refresh tokens, and what a session must remember for them.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "a1c64f7d2b90"
down_revision = "8e2b5d90c3f1"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("auth_sessions", sa.Column("epoch", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("auth_sessions", sa.Column("refreshed_at", TIME, nullable=True))
    op.add_column("auth_sessions", sa.Column("user_agent", sa.String(length=200), nullable=True))
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.Column("successor_salt", sa.LargeBinary(length=16), nullable=True),
        sa.CheckConstraint("(used_at IS NULL) = (successor_salt IS NULL)", name="used"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["auth_sessions.id"], name="fk_refresh_tokens_session_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_refresh_tokens"),
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    op.create_index("ix_refresh_tokens_expires_at", "refresh_tokens", ["expires_at"])


def downgrade() -> None:
    op.drop_table("refresh_tokens")
    for column in ("user_agent", "refreshed_at", "epoch"):
        op.drop_column("auth_sessions", column)
