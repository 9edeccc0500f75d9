"""How Alembic reaches the database: one migration at a time, and none that waits long for a lock."""

from alembic import context
from sqlalchemy import Connection, text

import delivery.auth.models
import delivery.deliveries.models
import delivery.idempotency
import delivery.notifications.models
import delivery.users.models  # noqa: F401  # each registers its tables
from delivery.database import Base, db

ADVISORY_LOCK = 0x64656C69  # any number, the same for all: "deli"


def run(connection: Connection) -> None:
    """Bring the schema to where the command says, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # A second start waits as long as the first one migrates, whatever the app's connections are told.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = '10min'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.execute(text("SET LOCAL lock_timeout = '4s'"))
        context.run_migrations()


with db.engine.connect() as connection:
    run(connection)
