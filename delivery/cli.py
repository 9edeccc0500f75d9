"""What the commands of all features share: errors in one line, values checked as the API does, text or JSON."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import wraps
from itertools import islice
from typing import Any, TypeVar

import click
from click._termui_impl import ProgressBar
from flask import current_app, g
from flask.cli import AppGroup
from marshmallow import ValidationError
from marshmallow.fields import Field
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from delivery.database import transaction
from delivery.errors import SOME_WRONG, AppError
from delivery.web import Caller, dump_json

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

logger = logging.getLogger(__name__)
# Whoever has a shell here may do everything; histories and the audit log name it as `cli`.
CLI = Caller(id=None, role="admin", kind="cli")


class Group(AppGroup):
    """Commands with an app context. What goes wrong is one line on standard error.

    Exit codes: 0 done, 1 refused or failed, 2 used wrongly.
    """

    def command(  # type: ignore[override]  # click's overloads
        self, *args: Any, **options: Any
    ) -> Callable[[Callable[..., Any]], click.Command]:
        decorate = super().command(*args, **options)
        return lambda function: decorate(_by_cli(function))

    def invoke(self, ctx: click.Context) -> Any:
        with refusals_in_one_line():
            return super().invoke(ctx)


@contextmanager
def refusals_in_one_line() -> Iterator[None]:
    """Have a command end by one line where we refuse, or the database does."""
    try:
        yield
    except AppError as error:
        raise click.ClickException(in_one_line(error)) from error
    except (OperationalError, ProgrammingError, InternalError) as error:
        logger.debug("the database refused", exc_info=error)
        ill = "takes no writes at the moment" if _is_read_only(error) else "is out of reach or not migrated"
        raise click.ClickException(f"The database {ill}; see `flask doctor`.") from error


def _is_read_only(error: DBAPIError) -> bool:
    if isinstance(error.orig, ReadOnlySqlTransaction):  # as during a restore
        return True
    return str(getattr(error.orig, "sqlite_errorname", "")).startswith("SQLITE_READONLY")


def _by_cli(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        g.caller = CLI
        return function(*args, **options)

    return run


def in_one_line(error: AppError) -> str:
    """Return what an error says: its detail, the wrong fields, and the moves that would be legal."""
    said = [error.detail] if error.detail != SOME_WRONG else []
    said += [f"{wrong['pointer'].lstrip('/')}: {wrong['message']}" for wrong in error.errors]
    if "allowed" in error.extra:
        said.append(f"Allowed: {', '.join(error.extra['allowed']) or 'nothing'}.")
    return " ".join(said)


class Checked(click.ParamType[Any]):
    """A value that a field of the API's schemas reads."""

    def __init__(self, field: Field[Any], *, name: str) -> None:
        self._field, self.name = field, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            value.encode()  # bytes of the command line that are not UTF-8 arrive as lone surrogates
            return self._field.deserialize(value)
        except UnicodeEncodeError:
            self.fail("Must be UTF-8.", param, ctx)
        except ValidationError as error:
            self.fail(" ".join(map(str, error.messages)), param, ctx)


def examples(*lines: str) -> str:
    """Return the epilog of a command's help: example calls, each on a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def json_option(command: F) -> F:
    """Give a command --json, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def yes_option(command: F) -> F:
    """Give a command --yes, for confirm_in_production."""
    return click.option("--yes", is_flag=True, help="Do not ask, in production either.")(command)


def confirm_in_production(question: str, *, yes: bool) -> None:
    """Ask before something that is meant for other databases; where nobody can answer, the answer is no."""
    if current_app.config["ENVIRONMENT"] == "production" and not yes:
        click.confirm(question, abort=True, err=True)


def dry_run_option(command: F) -> F:
    """Give a command --dry-run."""
    return click.option("--dry-run", is_flag=True, help="Only say what would happen.")(command)


def print_json(body: Any) -> None:
    """Print one JSON document, in the API's spelling of times and ids."""
    click.echo(dump_json(body))


def print_table(rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """Print rows in columns under the names of the first row's keys, or say that there are none."""
    if not rows:
        click.echo(empty)
        return
    cells = [[name.replace("_", " ") for name in rows[0]], *([shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def shown(value: Any) -> str:
    """Return a value for people: times to the minute in UTC, nothing as a dash, no control characters."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}Z"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(one if one.isprintable() else " " for one in str(value))


class _Undone(Exception):
    """Rolls a rehearsal back."""


@contextmanager
def rehearsable(*, dry_run: bool) -> Iterator[Session]:
    """Open a transaction; a dry run does everything and is rolled back, so that it finds what the real one would."""
    with suppress(_Undone), transaction() as session:
        yield session
        if dry_run:
            raise _Undone


def progress(label: str, *, length: int, quiet: bool) -> ProgressBar[int]:
    """Return a progress bar on standard error, invisible unless somebody watches there."""
    return click.progressbar(
        length=length, label=label, file=sys.stderr, hidden=quiet or not sys.stderr.isatty(), show_pos=True
    )


def in_batches(items: Iterable[T], *, size: int) -> Iterator[list[T]]:
    """Yield the items in lists, each for one short transaction."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
