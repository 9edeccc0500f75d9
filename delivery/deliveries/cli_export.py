"""The command `flask deliveries export`: the file that the API's export gives, as an admin sees it."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
from flask.cli import with_appcontext

from delivery.cli import CLI, Checked, examples
from delivery.deliveries import exporting
from delivery.deliveries.access import seen_by
from delivery.deliveries.ordering import ORDERS
from delivery.deliveries.schemas import ExportArgs
from delivery.deliveries.states import State

_ARGS = ExportArgs().fields
_MOMENTS = ("created_after", "created_before", "updated_after", "updated_before", "window_after", "window_before")


def _moments(command: Callable[..., Any]) -> Callable[..., Any]:
    for name in reversed(_MOMENTS):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, type=Checked(_ARGS[name], name="time"), help="Such as 2030-05-01T00:00:00Z.")(
            command
        )
    return command


@click.command(
    epilog=examples(
        "flask deliveries export deliveries.csv",
        "flask deliveries export lost.csv --status lost --created-after 2026-01-01T00:00:00Z",
        "flask deliveries export - --q grace --sort created_at | gzip > grace.csv.gz",
    )
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--status", type=click.Choice([str(state) for state in State]), multiple=True, help="May be repeated.")
@click.option("--tag", multiple=True, help="May be repeated.")
@click.option("--owner", "owner_id", type=click.UUID, help="The id of an account.")
@click.option("--courier", "courier_id", type=click.UUID, help="The id of an account.")
@click.option("--reference", type=Checked(_ARGS["reference"], name="text"), help="Exactly this one.")
@click.option("--q", type=Checked(_ARGS["q"], name="text"), help="Words to be found, as the API's `q`.")
@click.option("--late/--not-late", default=None, help="Open ones whose window is over, or all others.")
@click.option("--unassigned/--assigned", default=None, help="Those without courier, or with one.")
@_moments
@click.option("--sort", type=click.Choice(list(ORDERS)), default="-created_at", show_default=True, help="The order.")
@with_appcontext
def export(file: Path, *, status: tuple[str, ...], tag: tuple[str, ...], sort: str, **filters: Any) -> None:
    """Write deliveries into a new CSV FILE, or to standard output for `-`; all of them, or those of a list.

    FILE is there when it is whole, and not before. Telephone numbers and whatever else begins like a formula have an
    apostrophe in front.
    """
    chosen = filters | {"status": list(status), "tag": list(tag)}
    count = 0
    try:
        with _whole(file) as out:
            out.write(exporting.header())
            for rows in exporting.batches(seen_by(CLI), sort=sort, filters=chosen):
                out.write(exporting.lines(rows))
                count += len(rows)
    except OSError as error:
        raise click.ClickException(f"Cannot write {file}: {error.strerror}.") from None
    click.echo(f"Wrote {count} deliveries.", err=True)


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that only its owner reads, and that has its name once it is whole."""
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f"{path.name}.part")
    if path.exists():
        raise click.ClickException(f"Cannot write {path}: it exists.")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
