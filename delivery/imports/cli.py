"""`flask deliveries import` and `flask imports`: import a file from here, and see how all of them are."""

import math
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import orjson
from marshmallow import ValidationError
from sqlalchemy import Row

from delivery.cli import (
    CLI,
    Group,
    dry_run_option,
    examples,
    json_option,
    print_json,
    print_table,
    progress,
    shown,
)
from delivery.database import reader, transaction
from delivery.deliveries.cli import group as deliveries
from delivery.errors import AppError, Invalid, NotFound
from delivery.imports import bad_rows, looking, queries, running, services
from delivery.imports.files import Upload, discard_unused
from delivery.imports.schemas import SettingsIn, import_out, with_defaults
from delivery.imports.states import COUNTS, UNFINISHED, ImportState, OnDuplicate
from delivery.jobs import stopping
from delivery.users.cli import WHO, find
from delivery.web.schema import field_errors

_PATH = click.Path(dir_okay=False, path_type=Path)
group = Group("imports", help="Imports of files: list, show, cancel, read what was refused.")
_ID = "0198f3a2-7c1e-7d3b-9f57-0c6f2a9b4e11"
_PIECE_BYTES = 65_536
_LISTED = ("id", "state", "filename", "created_at")


@deliveries.command(
    "import",
    epilog=examples(
        "flask deliveries import orders.csv --owner ada@example.com --dry-run",
        "flask deliveries import orders.csv --owner ada@example.com --settings settings.json --errors bad.csv",
    ),
)
@click.argument("file", type=_PATH)
@click.option("--owner", type=WHO, required=True, help="Address or id of the account whose deliveries they are.")
@click.option("--settings", type=_PATH, help="JSON file with mapping, defaults, date_format and so on.")
@click.option("--on-duplicate", type=click.Choice([str(one) for one in OnDuplicate]), help="Over the settings' own.")
@click.option("--notify", is_flag=True, help="Tell recipients and owner of each delivery.")
@click.option("--again", is_flag=True, help="Also when this very file was imported before.")
@click.option(
    "--errors", type=click.File("w", encoding="utf-8", lazy=True), help="Write the refused rows to this file."
)
@dry_run_option
@json_option
def import_file(
    file: Path,
    owner: str,
    settings: Path | None,
    on_duplicate: str | None,
    errors: Any,
    *,
    dry_run: bool,
    as_json: bool,
    **how: bool,
) -> None:
    """Import deliveries from a CSV FILE, here and now; interrupted, a worker goes on.

    Nobody is told of them, unless with --notify. Exit code 0 when every row went well, 1 when the file or some rows
    were refused.
    """
    given = _given(settings, on_duplicate)
    made = _asked(file, given, owner_id=find(owner).id, dry_run=dry_run, **how)
    ended = _watch(made, quiet=as_json)
    if errors and ended.failed:
        errors.writelines(bad_rows.table(ended, queries.bad_rows(ended.id)))
    _tell(ended, as_json=as_json)


def _asked(file: Path, settings: dict[str, Any], **how: Any) -> Row[Any]:
    upload = _stored(file)
    try:
        looked = looking.look(upload.import_id, settings)
        with transaction():
            return services.submit(CLI, upload, looked, **how)
    except BaseException as error:
        with transaction():
            discard_unused([upload.import_id])
        if isinstance(error, AppError):
            _put_in_words_of_the_shell(error)
        raise


def _put_in_words_of_the_shell(error: AppError) -> None:
    """Name options of the command, and members of the settings' file, where the API has members of `options`."""
    if error.code == "already_imported":
        before = error.extra["existing_id"]
        error.detail = f"This file was imported before, with the same settings, as {before}; see --again."
    error.errors = [{**one, "pointer": one["pointer"].removeprefix("/options")} for one in error.errors]


def _given(settings: Path | None, on_duplicate: str | None) -> dict[str, Any]:
    try:
        given = orjson.loads(_read(settings)) if settings else {}
        read: dict[str, Any] = SettingsIn().load(given | ({"on_duplicate": on_duplicate} if on_duplicate else {}))
    except orjson.JSONDecodeError:
        raise click.BadParameter("Must be a file of JSON.", param_hint="--settings") from None
    except (ValidationError, TypeError) as error:
        errors = list(field_errors(error.messages)) if isinstance(error, ValidationError) else []
        raise Invalid("The settings are wrong.", errors=errors) from None
    return with_defaults(read)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from None


def _stored(path: Path) -> Upload:
    upload = Upload(most_bytes=2**40, filename=path.name[:200])
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                upload.write(piece)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from None
    upload.end()
    return upload


def _watch(made: Row[Any], *, quiet: bool) -> Row[Any]:
    """Work on an import until it has ended, or watch a worker that was quicker."""
    with progress("Importing", length=made.rows_total, quiet=quiet) as bar:
        while True:
            mine = running.claim(made.id)
            if mine is not None:
                running.work_on(mine, until=math.inf, told=bar.update)
            row = _find(made.id)
            bar.update(row.rows_done - bar.pos)
            if row.state not in UNFINISHED or stopping():
                return row
            if mine is None:
                time.sleep(0.2)


def _tell(row: Row[Any], *, as_json: bool) -> None:
    body = import_out(row)
    if as_json:
        print_json(body)
    else:
        rows = body["rows"]
        counts = ", ".join(f"{rows[name]} {name}" for name in COUNTS)
        verb = "Would import" if row.dry_run else "Imported"
        click.echo(f"{verb} {rows['total']} rows: {counts}. Import {row.id} is {row.state}.")
    if row.state != ImportState.COMPLETED:
        click.get_current_context().exit(1)


def _find(import_id: UUID) -> Row[Any]:
    row = reader().execute(queries.IMPORT_BY_ID, {"id": import_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no import {import_id}.")
    return row


@group.command("list", epilog=examples("flask imports list", "flask imports list --state running --json"))
@click.option("--owner", type=WHO, help="Address or id of the account that made them, or whose deliveries they are.")
@click.option("--state", type=click.Choice([str(state) for state in ImportState]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def list_imports(owner: str | None, state: str | None, limit: int, *, as_json: bool) -> None:
    """List imports, the newest first."""
    chosen = ImportState(state) if state else None
    rows = queries.imports(find(owner).id if owner else None, state=chosen, limit=limit)
    if as_json:
        print_json([import_out(row) for row in rows])
        return
    print_table([_line(row) for row in rows], empty="There are no imports.")


def _line(row: Row[Any]) -> dict[str, Any]:
    done = f"{row.rows_done}/{row.rows_total}"
    return {**{name: getattr(row, name) for name in _LISTED}, "rows": done, "failed": row.failed}


@group.command("show", epilog=examples(f"flask imports show {_ID}"))
@click.argument("import_id", metavar="ID", type=click.UUID)
@json_option
def show(import_id: UUID, *, as_json: bool) -> None:
    """Show an import and how far it has come."""
    body = import_out(_find(import_id))
    if as_json:
        print_json(body)
        return
    for name, value in (body | {f"rows {name}": count for name, count in body.pop("rows").items()}).items():
        click.echo(f"{name.replace('_', ' '):<17}{shown(value)}")


@group.command("errors", epilog=examples(f"flask imports errors {_ID} > bad.csv"))
@click.argument("import_id", metavar="ID", type=click.UUID)
def errors_of(import_id: UUID) -> None:
    """Print the rows of an import that were refused, as CSV with the reasons."""
    for text in bad_rows.table(_find(import_id), queries.bad_rows(import_id)):
        click.echo(text, nl=False)


@group.command("cancel", epilog=examples(f"flask imports cancel {_ID}"))
@click.argument("import_id", metavar="ID", type=click.UUID)
def cancel(import_id: UUID) -> None:
    """End an import where it is; the deliveries that it has made stay.

    Exit code 1 when it has ended already.
    """
    _find(import_id)
    with transaction():
        row = services.cancel(import_id)
    click.echo(f"Cancelled import {import_id}: {row.rows_done} of {row.rows_total} rows had been dealt with.")
