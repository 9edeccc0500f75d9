"""/api/audit: the audit log, for admins."""

from typing import Any

from flask import Response

from delivery.audit.queries import entries
from delivery.audit.schemas import AuditArgs, AuditPage, entry_out
from delivery.web import Blueprint, answer, signed_in
from delivery.web.paging import page_from, read_cursor

blp = Blueprint("audit", __name__, url_prefix="/api/audit", description="Who did what to accounts and access.")
_SORT = "-seq"


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(AuditArgs, location="query")
@blp.response(200, AuditPage)
def index(args: dict[str, Any]) -> Response:
    """Read the audit log, the newest entry first; for admins.

    All filters hold together. Entries form a chain of hashes, and none is ever changed.
    """
    limit, cursor = args.pop("limit"), args.pop("cursor")
    before = int(read_cursor(cursor, sort=_SORT)[0]) if cursor else None
    rows = entries(before=before, limit=limit + 1, **args)
    return answer(page_from(rows, limit=limit, shown=entry_out, sort=_SORT, position=lambda row: (row.seq,)))
