"""The database's schema: which revision this code wants, and the ways to bring a database there.

Alembic is loaded by those ways alone: it costs a process 11 MiB and a fifth of a second.
"""

import logging
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app
from sqlalchemy import text
from sqlalchemy.exc import InternalError, OperationalError, SQLAlchemyError

from delivery.cli import examples
from delivery.database import db, reader

logger = logging.getLogger(__name__)

# What whoever connects now gets; the reading engine's own connections are read-only anyway, and a standby always is.
_READ_ONLY = text(
    "SELECT NOT pg_is_in_recovery() AND EXISTS (SELECT FROM pg_db_role_setting"
    " WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
    " AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))"
    " AND 'default_transaction_read_only=on' = ANY (setconfig))"
)
MIGRATIONS = Path(__file__).parents[2] / "migrations"
# What search reads is another thing on either database, and so of no model.
_SEARCH = re.compile(r"delivery_search(_\w+)?")


@click.command(
    "db",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples("flask db upgrade", "flask db current"),
    short_help="Bring the database up to date, or back: Flask-Migrate's commands.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def database(context: click.Context, words: tuple[str, ...]) -> None:
    """Bring the database up to date, or back, by Flask-Migrate's commands.

    WORDS are one of upgrade, downgrade, current, history, heads, check, revision and the others of Flask-Migrate, and
    its options; each has a --help of its own.
    """
    from flask_migrate.cli import db as commands  # noqa: PLC0415  # see above

    app = context.obj.load_app()
    prepare(app)
    if words == ("upgrade",) and _is_later(app):
        return
    try:
        commands.main(args=list(words), prog_name="flask db", obj=context.obj)
    except (OperationalError, InternalError) as error:  # the latter, while the database is read-only
        logger.debug("the database refused", exc_info=error)
        raise click.ClickException(f"the database cannot be used: {str(error.orig).splitlines()[0]}") from error


def is_of_the_models(name: str | None, _kind: str, _parents: Any) -> bool:
    """Tell whether the models are to know what stands in the schema under this name; Alembic asks."""
    return _SEARCH.fullmatch(name or "") is None


def upgrade(app: Flask, **options: Any) -> None:
    """Bring the app's database to the newest revision; in an app context of its own."""
    from flask_migrate import upgrade  # noqa: PLC0415  # see above

    prepare(app)
    if options or not _is_later(app):
        with app.app_context():
            upgrade(**options)


def _is_later(app: Flask) -> bool:
    """Tell, and say so, whether a later release made the schema: after a rollback of the code it stays as it is."""
    with app.app_context():
        try:
            found = revision()
        except SQLAlchemyError:
            return False
    if found is None or is_known(found):
        return False
    click.echo(f"The schema is of a later release ({found}), on which this one works; it stays as it is.", err=True)
    return True


def prepare(app: Flask) -> Any:
    """Give the app Flask-Migrate, once, and return the extension."""
    from flask_migrate import Migrate  # noqa: PLC0415  # see above

    if "migrate" not in app.extensions:
        Migrate(app, db, directory=str(MIGRATIONS))
        app.cli.add_command(database)  # it has put its own in the place of ours
    return app.extensions["migrate"].migrate


def database_status() -> str:
    """Return `ready`, `migrating` (the schema is older than this code, or not there yet) or `database_down`."""
    try:
        found = revision()
    except SQLAlchemyError:
        return "migrating" if _answers() else "database_down"
    return "migrating" if found is None or is_behind(found) else "ready"


def is_read_only() -> bool:
    """Tell whether PostgreSQL is set to take no writes, as a restore has it, and one that was killed leaves it."""
    connection = reader()
    return connection.dialect.name == "postgresql" and bool(connection.execute(_READ_ONLY).scalar_one())


def refuse_if_behind() -> None:
    """End this process, with one line, where the schema is older than this code; a database that is down may come back.

    A newer schema is none of its business: the release before works on it (docs/migrations.md).
    """
    with current_app.app_context():  # of its own: no connection is forked with a worker
        status = database_status()
    if status == "migrating":
        click.echo("Error: the schema is older than this code: run `flask db upgrade` first.", err=True)
        sys.exit(os.EX_TEMPFAIL)


def revision() -> str | None:
    """Return the schema's revision; None: there is none yet."""
    found: str | None = reader().execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def _answers() -> bool:
    try:
        reader().execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def is_behind(revision: str) -> bool:
    """Tell whether a schema is older than this code; a revision that we do not know is newer."""
    return revision in _older()


def is_known(revision: str) -> bool:
    """Tell whether a schema is one that this code knows; else it is newer, and made by a later release."""
    return is_behind(revision) or revision in _named("revision")


@cache
def _older() -> frozenset[str]:
    """Return every revision but the newest."""
    return _named("down_revision")


def _named(what: str) -> frozenset[str]:
    """Return what the files of the migrations call so."""
    line = re.compile(rf"^{what} = [\"'](\w+)[\"']", re.MULTILINE)
    texts = (path.read_text(encoding="utf-8") for path in MIGRATIONS.glob("versions/*.py"))
    return frozenset(match for text in texts for match in line.findall(text))
