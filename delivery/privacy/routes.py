"""Privacy: what is held about an account, in one archive; and forgetting accounts and recipients."""

from collections.abc import Iterator
from http import HTTPStatus
from os import SEEK_END
from typing import IO, Any

from flask import Response

from delivery import audit
from delivery.database import transaction
from delivery.idempotency import transactional
from delivery.privacy import services
from delivery.privacy.archives import export as export_archive
from delivery.privacy.queries import erasures, just_written
from delivery.privacy.schemas import ErasureOut, ErasurePage, RecipientErasureIn, erasure_out
from delivery.privacy.sources import OF_ACCOUNT, account
from delivery.users.access import user_for
from delivery.users.services import erase as erase_user
from delivery.web import Blueprint, Expected, answer, found, if_match_optional, no_content, signed_in
from delivery.web.paging import PageArgs, page_from, uuid_position

blp = Blueprint("privacy", __name__, url_prefix="/api", description="What is held about people, and forgetting them.")
_SORT = "-id"
_CHUNK = 65_536  # bytes


@blp.route("/users/<uuid:user_id>/export")
@signed_in
@found(user_for)
@blp.errors(401, 403, 404)
@blp.file_response("application/zip")
def export(user: Any) -> Response:
    """Download all that is held about an account: yours, or anybody's as an admin. README.txt in it explains it.

    A ZIP archive, made while you wait. It is written into the audit log.
    """
    with transaction():
        audit.record("user.exported", object_type="user", object_id=user.id)
    file = export_archive(OF_ACCOUNT, whom=f"the account {user.id}", **account(user.id))
    return _download(file, name=f"account-{user.id}.zip")


def _download(file: IO[bytes], *, name: str) -> Response:
    response = Response(_chunks(file), mimetype="application/zip")
    response.call_on_close(file.close)  # also when nobody reads it, as of a HEAD
    response.content_length = file.seek(0, SEEK_END)
    response.headers["Content-Disposition"] = f"attachment; filename={name}"
    response.headers["Cache-Control"] = "no-store"
    return response


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(_CHUNK):
            yield chunk


@blp.route("/users/<uuid:user_id>/erase", methods=("POST",))
@signed_in
@found(user_for)
@blp.errors(400, 401, 403, 404, 409, 412)
@blp.response(204)
@if_match_optional
@transactional
def erase(user: Any, *, expected: Expected) -> Response:
    """Erase an account, as DELETE does; refused while it has open deliveries. Finished deliveries stay.

    When `If-Match` is sent it is heeded. Open deliveries are a 409 `open_deliveries`. It cannot be undone.
    """
    erase_user(user.id, expected=expected)
    return no_content()


@blp.route("/privacy/erasures", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422)
@blp.arguments(RecipientErasureIn)
@blp.response(200, ErasureOut)
@blp.alt_response(202, schema=ErasureOut, success=True, description="Some deliveries are open; they follow")
@transactional
def erase_recipient(body: dict[str, Any]) -> Response:
    """Erase whoever receives deliveries at an address or number; for admins.

    Address, number, or both. It is a 202 while deliveries to them are open: these follow when they are over. It
    cannot be undone.
    """
    erasure = just_written(services.erase_recipient(**body))
    return answer(erasure_out(erasure), HTTPStatus.OK if erasure.finished_at else HTTPStatus.ACCEPTED)


@blp.route("/privacy/erasures")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(PageArgs, location="query")
@blp.response(200, ErasurePage)
def index(args: dict[str, Any]) -> Response:
    """List erasures, the newest first; for admins.

    They hold ids and keyed hashes, no names.
    """
    rows = erasures(after=uuid_position(args["cursor"], sort=_SORT), limit=args["limit"] + 1)
    return answer(page_from(rows, limit=args["limit"], shown=erasure_out, sort=_SORT))
