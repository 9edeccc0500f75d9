"""`flask up`: the whole system as one command."""

import math
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from delivery.database import db, transaction
from delivery.ops import data_folder
from delivery.ops.refusals import CannotRun, StopAsked
from delivery.ops.schema import upgrade
from delivery.ops.sources import Sources
from delivery.ops.supervisor import Supervisor
from delivery.ops.system import REACHED, System, listen
from delivery.users.models import User
from delivery.users.passwords import hash_password
from delivery.users.services import FIRST_ADMIN, ensure_first_admin
from delivery.users.states import Role

READY_SECONDS = 60.0


@click.command()
@click.option("--host", help="Address to listen on instead of HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on instead of PORT.")
@click.option("--reload", is_flag=True, help="Start API, worker and cron again when a Python file or .env changes.")
@click.pass_context
def up(context: click.Context, host: str | None, port: int | None, *, reload: bool) -> None:
    """Run the whole system: database, queue, API, worker, cron.

    Brings the database up to date, starts an embedded Valkey unless REDIS_URL names a server, then gunicorn, the worker
    and cron, and starts again what dies. Everything lies in DATA_DIR. Ctrl-C or SIGTERM lets requests and jobs finish
    and stops everything once what is being sent has gone; a second Ctrl-C does not wait.

    \b
    Examples:
      flask up
      flask up --port 8080 --reload
      DATABASE_URL=postgresql://... REDIS_URL=redis://... flask up
    """  # noqa: D301  click wants the character itself
    app = context.ensure_object(ScriptInfo).load_app()
    settings = dict(app.config, HOST=host or app.config["HOST"], PORT=port or app.config["PORT"])
    supervisor = Supervisor(tries=math.inf if reload else Supervisor.TRIES)
    supervisor.heed_signals()
    os.umask(0o077)  # what we and our children write is about people
    folder = Path(settings["DATA_DIR"])
    data_folder.prepare(folder)
    system = System(settings, lock=data_folder.lock(folder), listener=listen(settings["HOST"], settings["PORT"]))
    try:
        with suppress(StopAsked):
            report(system, admin=start(app, system, supervisor))
            supervisor.watch(reloader(supervisor) if reload else nothing)
    finally:
        system.listener.close()  # before gunicorn ends: nobody new waits for an answer that cannot come
        supervisor.stop()
    click.echo("Stopped.")


def start(app: Flask, system: System, supervisor: Supervisor) -> str | None:
    """Start the store, bring the database up to date, start the others, and wait until all of it is ready.

    The first admin is there before the API serves; what there is to tell about it is returned.
    """
    store = system.store()
    if store is not None:
        supervisor.start(supervisor.stores, store)
    migrate(app)
    supervisor.wait_for(system.store_answers, what="the Redis of REDIS_URL", seconds=READY_SECONDS)
    admin = first_admin(app)
    try:
        supervisor.start(supervisor.others, *system.others())
        supervisor.wait_for(system.is_ready, what="/readyz", seconds=READY_SECONDS)
    except (CannotRun, StopAsked):
        report_admin(admin)  # the account stays, and the next start makes no other
        raise
    return admin


def migrate(app: Flask) -> None:
    """Bring the database up to date."""
    with database_of(app):
        upgrade(app)


def first_admin(app: Flask) -> str | None:
    """Make an admin account where there is none, and say what to tell about it."""
    password = secrets.token_urlsafe(12)
    with database_of(app):
        password_hash = hash_password(password)
        with transaction():
            made = ensure_first_admin(password_hash=password_hash)
            there = made or db.session.execute(select(User.id).where(User.role == Role.ADMIN).limit(1)).first()
    if made:
        return f"{FIRST_ADMIN}, password {password} (shown only now)"
    return None if there else f"none, for {FIRST_ADMIN} is taken: make one by `flask users create-admin`"


@contextmanager
def database_of(app: Flask) -> Iterator[None]:
    """Work on the app's database and keep no connection; what it says no to becomes one line."""
    try:
        with app.app_context():
            yield
            db.engine.dispose()
    except SystemExit:  # Flask-Migrate logs what Alembic refuses, and exits
        raise CannotRun("the database was not brought up to date; the reason stands above.") from None
    except SQLAlchemyError as error:
        reason = str(error).split("\n", 1)[0]
        raise CannotRun(f"the database cannot be used: {reason}") from None


def report(system: System, *, admin: str | None) -> None:
    """Say where everything is and, on the first start, who may sign in."""
    at = f"http://{REACHED.get(system.host, system.host)}:{system.port}"
    click.echo("Delivery is ready.")
    click.echo(f"  API    {at}")
    click.echo(f"  Docs   {at}/docs and {at}/redoc")
    click.echo(f"  Data   {system.folder}")
    if system.hidden_store:
        click.echo(f"  Redis  other commands need REDIS_URL={system.redis_url}, since the path of DATA_DIR is long")
    report_admin(admin)
    click.echo("Ctrl-C stops it.")


def report_admin(admin: str | None) -> None:
    if admin:
        click.echo(f"  Admin  {admin}")


def reloader(supervisor: Supervisor) -> Callable[[], None]:
    """What to do ten times a second under --reload."""
    sources = Sources(Path.cwd())

    def restart_when_changed() -> None:
        if sources.changed():
            click.echo("Files changed: starting again.")
            supervisor.restart_others()

    return restart_when_changed


def nothing() -> None:
    """What to do ten times a second otherwise."""
