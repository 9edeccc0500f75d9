"""The database's schema: which revision this code wants, and the ways to bring a database there.

Alembic is loaded by those ways alone: it costs a process 11 MiB and a fifth of a second.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import click
from flask import Flask

from delivery.cli import examples
from delivery.database import db

MIGRATIONS = Path(__file__).parents[2] / "migrations"
_DOWN_REVISION = re.compile(r"^down_revision = [\"'](\w+)[\"']", re.MULTILINE)


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

    prepare(context.obj.load_app())
    commands.main(args=list(words), prog_name="flask db", obj=context.obj)


def upgrade(app: Flask, **options: Any) -> None:
    """Bring the app's database to the newest revision; in an app context of its own."""
    from flask_migrate import upgrade  # noqa: PLC0415  # see above

    prepare(app)
    with app.app_context():
        upgrade(**options)


def prepare(app: Flask) -> Any:
    """Give the app Flask-Migrate's commands, once, and return the extension."""
    from flask_migrate import Migrate  # noqa: PLC0415  # see above

    if "migrate" not in app.extensions:
        Migrate(app, db, directory=str(MIGRATIONS))
    return app.extensions["migrate"].migrate


def is_behind(revision: str) -> bool:
    """Tell whether a schema is older than this code; a revision that we do not know is newer."""
    return revision in _older()


@cache
def _older() -> frozenset[str]:
    """Return every revision but the newest, read off the files."""
    texts = [path.read_text(encoding="utf-8") for path in MIGRATIONS.glob("versions/*.py")]
    return frozenset(match for text in texts for match in _DOWN_REVISION.findall(text))
