"""`flask restored`: what a database needs that comes out of a backup, before anybody works on it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from flask import current_app, g
from flask.cli import ScriptInfo, with_appcontext
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from delivery import audit
from delivery.auth import sessions
from delivery.cli import CLI, examples, refusals_in_one_line
from delivery.database import transaction
from delivery.deliveries.numbering import leap
from delivery.notifications import holding
from delivery.ops.schema import upgrade
from delivery.privacy import erasure_list, restoring


@click.command(
    epilog=examples(
        "flask restored", "flask restored --database delivery_restoring --yes", "flask restored --without-erasures"
    )
)
@click.option("--database", help="Another database of the same server, or another SQLite file, than DATABASE_URL's.")
@click.option("--reason", default="restored from a backup", show_default=True, help="Why messages are held.")
@click.option("--without-erasures", is_flag=True, help="Go on though the list of erasures is not there or incomplete.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def restored(context: click.Context, database: str | None, reason: str, *, without_erasures: bool, yes: bool) -> None:
    """Make a restored database fit for use; scripts/restore.sh calls it.

    Brings the schema up to date, holds all messages until `flask notifications release`, ends every session, has the
    feed go on above what was seen, and erases again who is on the list of erasures. It can be run again. With
    --database the list is first brought up to date from the database that is now in use. Exit code 1: something
    failed, or an erasure could not be done; 2: nobody could be asked.
    """
    if not yes:
        _ask(database or "the database in use")
    app = context.ensure_object(ScriptInfo).load_app()
    if database:
        with app.app_context():
            _list_last_erasures()
            url = make_url(app.config["DATABASE_URL"]).set(database=database)
        context.exit(_again(url.render_as_string(hide_password=False), reason, without_erasures=without_erasures))
    with refusals_in_one_line():
        try:
            upgrade(app)
        except SystemExit:  # Flask-Migrate logs what Alembic refuses, and exits
            raise click.ClickException("The schema was not brought up to date; the reason stands above.") from None
        _prepare(reason, without_erasures=without_erasures)


def _ask(what: str) -> None:
    if not _is_somebody_there():
        raise click.UsageError("Nobody can be asked here: give --yes.")
    question = f"Take {what} for restored: end every session, hold all messages, and erase again?"
    click.confirm(question, abort=True, err=True)


def _is_somebody_there() -> bool:
    return sys.stdin.isatty()


def _list_last_erasures() -> None:
    """Have the list know the erasures of the last minute, which cron has not written yet and nobody else knows."""
    path = current_app.config["ERASURE_LIST"]
    try:
        erasure_list.lacking(path)  # asks the database first: on an empty machine a missing list must stay missing
        erasure_list.keep_up(path)
    except OSError as error:
        raise click.ClickException(f"The list of erasures cannot be written: {error.strerror}.") from None
    except SQLAlchemyError:
        click.echo("The database in use cannot be asked for its latest erasures; the list counts.", err=True)


def _again(url: str, reason: str, *, without_erasures: bool) -> int:
    """Do it with another DATABASE_URL, handed over where nobody else reads it."""
    words = [sys.executable, "-m", "flask", "restored", "--yes", "--reason", reason]
    words += ["--without-erasures"] if without_erasures else []
    settings = {**os.environ, "DATABASE_URL": url, "DATABASE_URL_FILE": ""}
    return subprocess.run(words, env=settings, check=False).returncode  # noqa: S603  our own command


@with_appcontext
def _prepare(reason: str, *, without_erasures: bool) -> None:
    g.caller = CLI
    with transaction():
        if holding.standing() is None:
            holding.hold(reason)
        leap()
        ended = sessions.end_everybodys()
        audit.record("database.restored", sessions=ended)
    click.echo(f"Messages are held, {ended or 'no'} sessions ended.")
    if without_erasures:
        click.echo("Erasures were not done again: run `flask privacy reapply` before the API starts.", err=True)
        return
    left = _erase_again(current_app.config["ERASURE_LIST"])
    if any(left.values()):
        words = ", ".join(f"{count} {name}" for name, count in left.items() if count)
        raise click.ClickException(f"Erasures are left: {words}; see `flask privacy reapply --dry-run`.")


def _erase_again(path: Path) -> dict[str, Any]:
    try:
        lines, unreadable = erasure_list.read(path)
    except OSError as error:
        raise click.ClickException(
            f"The list of erasures {path} cannot be read: {error.strerror}; --without-erasures goes on without it."
        ) from None
    if not (lines or unreadable) and (known := erasure_list.lacking(path)):
        raise click.ClickException(
            f"The list of erasures {path} is empty, though the backup itself knows {known}: bring the one that was"
            " kept; --without-erasures goes on without it."
        )
    made = restoring.plan(lines)
    refused = restoring.reapply(made)
    click.echo(f"Erased again: {len(made.users) - len(refused)} accounts, {len(made.recipients)} recipients.")
    return {"lines unreadable": unreadable, "of another SECRET_KEY": made.other_key, "last admins": len(refused)}
