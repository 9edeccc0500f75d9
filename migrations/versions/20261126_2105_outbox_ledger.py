"""Which messages repeat which, and when attempts were begun.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "c4f82b6d1e73"
down_revision = "a3c7e5190b42"
branch_labels = None
depends_on = None

REPEATS = sa.text("resend_of IS NOT NULL")


def upgrade() -> None:
    # Without it, each message that is thrown away would have the whole table read for those that repeat it.
    op.create_index(
        "ix_outbox_messages_resend_of",
        "outbox_messages",
        ["resend_of"],
        postgresql_where=REPEATS,
        sqlite_where=REPEATS,
    )
    op.create_index("ix_outbox_attempts_started", "outbox_attempts", ["started_at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ix_outbox_attempts_started", table_name="outbox_attempts")
    op.drop_index("ix_outbox_messages_resend_of", table_name="outbox_messages")
