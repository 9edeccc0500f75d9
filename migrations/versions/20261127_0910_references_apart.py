"""A test and a live delivery may have the same reference: the index that knew no tests goes.

It comes after the code that made its successor (5b8e21c9d7f4) serves everywhere; code before that creates nothing
without it.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "c07f4d9be3a6"
down_revision = "5b8e21c9d7f4"
branch_labels = None
depends_on = None

NAME, TABLE, ALIVE = "uq_deliveries_reference", "deliveries", sa.text("deleted_at IS NULL")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(NAME, TABLE, postgresql_concurrently=True, if_exists=True)


def downgrade() -> None:
    op.create_index(NAME, TABLE, ["owner_id", "reference"], unique=True, postgresql_where=ALIVE, sqlite_where=ALIVE)
