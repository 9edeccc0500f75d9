"""What a restored database needs: a hold on the outbox, and a floor for places in the feed.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "f27d90b3c8a1"
down_revision = "c41f8be2d706"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "outbox_holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("held_at", TIME, nullable=False),
        sa.Column("released_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_holds"),
    )
    op.create_table(
        "feed_floors",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("set_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_feed_floors"),
    )


def downgrade() -> None:
    op.drop_table("feed_floors")
    op.drop_table("outbox_holds")
