"""The shapes of erasures, in and out."""

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from delivery.privacy.states import Kind
from delivery.users.schemas import Email, Phone
from delivery.web import Schema, Word
from delivery.web.paging import page_of


class RecipientErasureIn(Schema):
    email = Email(load_default=None, metadata={"example": "grace@home.example"})
    phone = Phone(load_default=None)

    @validates_schema
    def names_somebody(self, data: dict[str, Any], **_: Any) -> None:
        if not data["email"] and not data["phone"]:
            raise ValidationError("Give an address, a telephone number, or both.", "email")


class ErasureOut(Schema):
    id = fields.UUID(required=True)
    kind = fields.Enum(Kind, by_value=True, required=True)
    user_id = fields.UUID(required=True, allow_none=True)
    email_hash = Word(64, required=True, allow_none=True, metadata={"description": "Keyed hash, in hex."})
    phone_hash = Word(64, required=True, allow_none=True, metadata={"description": "Keyed hash, in hex."})
    requested_at = fields.AwareDateTime(required=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)
    waiting = fields.Integer(required=True, metadata={"description": "Deliveries that are open, and erased when over."})
    counts = fields.Dict(
        required=True,
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "What was forgotten.", "example": {"deliveries": 3, "messages": 1}},
    )


ErasurePage = page_of(ErasureOut)


def erasure_out(row: Any) -> dict[str, Any]:
    """Return what ErasureOut documents; `row` has queries.COLUMNS."""
    return {
        "id": row.id,
        "kind": row.kind,
        "user_id": row.user_id,
        "email_hash": row.email_hash and row.email_hash.hex(),
        "phone_hash": row.phone_hash and row.phone_hash.hex(),
        "requested_at": row.requested_at,
        "finished_at": row.finished_at,
        "waiting": row.waiting,
        "counts": row.counts,
    }
