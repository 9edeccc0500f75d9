"""What the links of password resets and changes of address depend on, and the addresses that people had before.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "b7d2903e5f18"
down_revision = "c93e1a5470bd"
branch_labels = None
depends_on = None

NONCES = ("reset_nonce", "email_nonce")


def upgrade() -> None:
    for name in NONCES:
        op.add_column("users", sa.Column(name, sa.String(length=32), nullable=True))
    op.add_column("users", sa.Column("new_email", sa.String(length=254), nullable=True))
    op.create_table(
        "former_emails",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_former_emails_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_former_emails"),
    )
    op.create_index("ix_former_emails_user_id", "former_emails", ["user_id"])
    op.create_index("ix_former_emails_changed_at", "former_emails", ["changed_at"])


def downgrade() -> None:
    op.drop_table("former_emails")
    for name in ("new_email", *NONCES):
        op.drop_column("users", name)
