"""/api/imports: files of deliveries, how far each has come, and the rows that were refused."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Response, stream_with_context

from delivery.idempotency import takes_key, transactional
from delivery.imports import bad_rows, looking, queries, services, uploading
from delivery.imports.access import import_for
from delivery.imports.files import Upload
from delivery.imports.schemas import ImportArgs, ImportOut, ImportPage, UploadIn, import_out
from delivery.imports.templates import applied
from delivery.web import Blueprint, answer, caller, found, signed_in
from delivery.web.blueprint import LOCATED
from delivery.web.paging import page_from, uuid_position

blp = Blueprint(
    "imports",
    __name__,
    url_prefix="/api/imports",
    description="Deliveries from CSV files, made in the background, each row once.",
)
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": UploadIn, "encoding": {"options": {"contentType": "application/json"}}}
    },
}


@blp.route("", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 404, 409, 413, 415, 422)
@blp.doc(requestBody=_BODY)
@blp.response(202, ImportOut, headers=LOCATED)
@takes_key
def create() -> Response:
    """Import a CSV file: it is checked at once, and its rows are made in the background.

    Send `file` and, as JSON, `options` as multipart/form-data. The 202 has `Location`: ask there until
    `finished_at` is set. A file that cannot be read is a 422, the same one with the same settings again a 409
    `already_imported`.
    """
    with uploading.received() as (upload, options):
        looked = looking.look(upload.import_id, applied(caller(), options))
        return _asked(upload, looked, options)


@transactional
def _asked(upload: Upload, looked: services.Looked, options: dict[str, Any]) -> Response:
    chosen = {name: options[name] for name in ("dry_run", "notify", "again")}
    made = services.submit(caller(), upload, looked, owner_id=options.get("owner_id") or _caller_id(), **chosen)
    return answer(import_out(made), 202, headers={"Location": f"/api/imports/{made.id}"})


def _caller_id() -> UUID:
    identity = caller().id
    assert identity is not None  # noqa: S101  # whoever is signed in has one
    return identity


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(ImportArgs, location="query")
@blp.response(200, ImportPage)
def index(args: dict[str, Any]) -> Response:
    """List the imports that you made, or whose deliveries are yours, the newest first.

    `state` chooses among them.
    """
    after, limit = uuid_position(args["cursor"], sort="-id"), args["limit"]
    rows = queries.imports(caller().id, state=args["state"], after=after, limit=limit + 1)
    return answer(page_from(rows, limit=limit, shown=import_out))


@blp.route("/<uuid:import_id>")
@signed_in
@found(import_for)
@blp.errors(401, 403, 404)
@blp.response(200, ImportOut)
def show(row: Any) -> Response:
    """Read how far an import has come.

    Ask until `finished_at` is set; `rows` counts what became of them, and `errors.csv` has those that were refused.
    """
    return answer(import_out(row))


@blp.route("/<uuid:import_id>/cancel", methods=("POST",))
@signed_in
@found(import_for)
@blp.errors(400, 401, 403, 404, 409)
@blp.response(200, ImportOut)
@transactional
def cancel(row: Any) -> Response:
    """End an import where it is; the deliveries that it has made stay.

    One that has ended is a 409 `finished`.
    """
    return answer(import_out(services.cancel(row.id)))


@blp.route("/<uuid:import_id>/errors.csv")
@signed_in
@found(import_for)
@blp.errors(401, 403, 404)
@blp.file_response("text/csv")
def errors(row: Any) -> Response:
    """Read the refused rows as CSV, as they came and with the reasons; put right, the file can be imported.

    While it runs, they are those so far; they are kept for a month, usually.
    """
    response = Response(stream_with_context(_encoded(row)), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="import-{row.id}-errors.csv"'
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Vary"] = "Authorization"
    return response


def _encoded(row: Any) -> Iterator[bytes]:
    for text in bad_rows.table(row, queries.bad_rows(row.id)):
        yield text.encode()
