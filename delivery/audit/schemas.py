"""The shapes of the audit log."""

from typing import Any

from marshmallow import fields

from delivery.web import Line, Schema, Time, Word
from delivery.web.paging import PageArgs, page_of


class AuditArgs(PageArgs):
    act = Line(
        40, load_default=None, metadata={"description": "One act, or its beginning and `*`.", "example": "session.*"}
    )
    actor_id = fields.UUID(load_default=None)
    object_id = fields.UUID(load_default=None)
    since = Time(load_default=None)
    until = Time(load_default=None)


class AuditEntryOut(Schema):
    seq = fields.Integer(
        required=True, metadata={"maximum": 2**53, "description": "Without gaps; the log's own order."}
    )
    at = fields.AwareDateTime(required=True)
    act = Word(40, required=True, metadata={"example": "session.opened"})
    actor_type = Word(
        10, required=True, metadata={"description": "user, api_key, anonymous, cli or system", "example": "user"}
    )
    actor_id = fields.UUID(required=True, allow_none=True)
    object_type = Word(20, required=True, allow_none=True)
    object_id = fields.UUID(required=True, allow_none=True)
    request_id = Word(64, required=True, allow_none=True)
    address_hash = Word(
        32, required=True, allow_none=True, metadata={"description": "Keyed hash of the client's address."}
    )
    details = fields.Dict(required=True)
    hash = Word(
        64,
        required=True,
        metadata={"description": "SHA-256 of the entry and of the hash before, in hex.", "example": "9f" * 32},
    )


AuditPage = page_of(AuditEntryOut, name="AuditPage")


def entry_out(row: Any) -> dict[str, Any]:
    """Return what AuditEntryOut documents; `row` has the columns of AuditEntry."""
    shown = {name: getattr(row, name) for name in AuditEntryOut().fields if name != "hash"}
    return shown | {"hash": row.hash.hex()}
