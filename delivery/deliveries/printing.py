"""Labels of deliveries, as PDF."""

from collections.abc import Sequence
from typing import Any

from flask import Response, current_app
from marshmallow import fields, validate

from delivery.deliveries import queries
from delivery.deliveries.access import delivery_for, parts_of
from delivery.errors import invalid_fields
from delivery.web import Blueprint, Schema, caller, found, signed_in

blp = Blueprint("labels", __name__, url_prefix="/api/deliveries", description="Labels to print and stick on.")
MOST_LABELS = 100
_PDF = "application/pdf"
_NOT_FOUND = "There is no such delivery that you may see."


class LabelArgs(Schema):
    size = fields.String(
        load_default="a6",
        validate=validate.OneOf(["a6", "a4"]),
        metadata={"description": "`a6`: a page for each; `a4`: four on a sheet."},
    )


class LabelsIn(LabelArgs):
    ids = fields.List(fields.UUID(), required=True, validate=validate.Length(min=1, max=MOST_LABELS))


@blp.route("/<uuid:delivery_id>/label")
@signed_in
@found(delivery_for)
@blp.errors(400, 401, 404, 422)
@blp.arguments(LabelArgs, location="query")
@blp.file_response(_PDF)
def show(row: Any, args: dict[str, Any]) -> Response:
    """Read a delivery's label: addresses, a Code 128 of its tracking number, a QR code of its tracking page.

    A PDF of A6, or A4 with `size`. Whoever may see the delivery may print it, however often; nothing changes.
    """
    return _pdf([row], size=args["size"])


@blp.route("/labels", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 413, 415, 422)
@blp.arguments(LabelsIn)
@blp.file_response(_PDF)
def sheet(body: dict[str, Any]) -> Response:
    """Read the labels of up to 100 deliveries in one PDF, in the order of their ids; all of them, or none.

    One that you may not see is a 422 that names it, and nothing is printed. An `Idempotency-Key` is not heeded,
    since nothing changes.
    """
    rows = queries.by_ids(body["ids"])
    seen = {identity: row for identity, row in rows.items() if row.deleted_at is None and parts_of(caller(), row)}
    missing = {f"/ids/{place}": _NOT_FOUND for place, identity in enumerate(body["ids"]) if identity not in seen}
    if missing:
        raise invalid_fields(missing, code="not_found")
    return _pdf([seen[identity] for identity in body["ids"]], size=body["size"])


def _pdf(rows: Sequence[Any], *, size: str) -> Response:
    from delivery.deliveries import labels  # noqa: PLC0415  # only who prints waits for its library

    config = current_app.config
    drawn = labels.draw(rows, size=size, company=config["COMPANY_NAME"], base_url=config["PUBLIC_BASE_URL"])
    name = rows[0].tracking_number if len(rows) == 1 else "labels"
    headers = {"Content-Disposition": f'inline; filename="{name}.pdf"', "Cache-Control": "private, no-cache"}
    return Response(drawn, mimetype=_PDF, headers={**headers, "Vary": "Authorization"})
