"""How Alembic reaches the database: one migration at a time, and none that others wait long for."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from flask import current_app
from psycopg.errors import LockNotAvailable, QueryCanceled
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

import delivery.auth.models
import delivery.deliveries.models
import delivery.idempotency
import delivery.notifications.models
import delivery.users.models  # noqa: F401  # each registers its tables
from delivery.database import Base, db
from delivery.ops.schema import is_of_the_models

ADVISORY_LOCK = 0x64656C69  # any number, the same for all: "deli"
# Whoever waits for a table's lock has all others wait behind: better to give it up soon, and to come again.
TRIES, PAUSE_SECONDS = 5, 2.0

logger = logging.getLogger("alembic.env")


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Let one migration run at a time: a session's lock, which also holds while an index is made concurrently."""
    if connection.dialect.name != "postgresql":
        yield
        return
    # A second start waits as long as the first one migrates, whatever the app's connections are told.
    connection.execute(text("SET lock_timeout = 0"))
    connection.execute(text(f"SET statement_timeout = '{_setting('STATEMENT')}s'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    connection.execute(text(f"SET lock_timeout = '{_setting('LOCK')}s'"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.execute(text("RESET lock_timeout"))
        connection.execute(text("RESET statement_timeout"))
        connection.commit()


def run(connection: Connection) -> None:
    """Bring the schema to where the command says, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        include_name=is_of_the_models,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


def _setting(name: str) -> int:
    seconds: int = current_app.config[f"MIGRATION_{name}_TIMEOUT_SECONDS"]
    return seconds


def run_patiently() -> None:
    """Try again when somebody held a lock; then give up, with nothing changed."""
    for left in reversed(range(TRIES)):
        try:
            with db.engine.connect() as connection, alone(connection):
                run(connection)
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled):
                _give_up("a statement took longer than MIGRATION_STATEMENT_TIMEOUT_SECONDS")
            if not isinstance(error.orig, LockNotAvailable):
                raise
            if not left:
                _give_up(f"a lock was not to be had within MIGRATION_LOCK_TIMEOUT_SECONDS, {TRIES} times")
            logger.warning("Somebody holds a lock that the migration needs; it is tried again.")
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _give_up(why: str) -> None:
    sys.stderr.write(f"Error: the schema is as it was: {why}.\n")
    sys.exit(os.EX_TEMPFAIL)


run_patiently()
