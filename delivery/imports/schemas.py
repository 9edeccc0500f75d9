"""The shapes of imports and their templates, in and out."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from delivery.imports.dates import NAMED, is_format
from delivery.imports.encodings import ENCODINGS
from delivery.imports.mapping import wrong_settings
from delivery.imports.states import DELIMITERS, ImportState, OnDuplicate
from delivery.imports.targets import TARGETS
from delivery.users.schemas import known_zone
from delivery.web import Flag, Line, Schema
from delivery.web.paging import PageArgs

_LONGEST_NAME = 200
_MOST_COLUMNS_OF_A_FIELD = 5
_path = fields.String(validate=validate.Length(max=100))


class Columns(fields.Field[list[str]]):
    """The name of a column, or the names of several, whose texts are put together."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> list[str]:
        names = [value] if isinstance(value, str) else value
        good = isinstance(names, list) and 1 <= len(names) <= _MOST_COLUMNS_OF_A_FIELD
        if not good or not all(isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME for name in names):
            raise ValidationError(f"Must be a column's name, or a list of up to {_MOST_COLUMNS_OF_A_FIELD}.")
        return [name.strip() for name in names]


def known_format(text: str) -> None:
    """Refuse what times cannot be read by."""
    if not is_format(text):
        names = ", ".join(NAMED)
        raise ValidationError(f"Must be one of {names}, or a pattern with day, month and year, such as %d.%m.%Y %H:%M.")


class SettingsIn(Schema):
    """How a file is read."""

    mapping = fields.Dict(
        keys=_path,
        values=Columns(),
        validate=validate.Length(max=len(TARGETS)),
        metadata={
            "description": "Field of a delivery: name of its column, or a list of names. Without it, columns that are "
            "named as fields are taken. Other columns are passed over.",
            "example": {"reference": "order_id", "recipient.name": ["First name", "Last name"]},
        },
    )
    defaults = fields.Dict(
        keys=_path,
        values=fields.String(validate=validate.Length(min=1, max=2000)),
        validate=validate.Length(max=len(TARGETS)),
        metadata={
            "description": "Field of a delivery: what it is where its cell is empty, or it has no column.",
            "example": {"destination.country": "GB"},
        },
    )
    delimiter = fields.String(
        allow_none=True, validate=validate.OneOf(DELIMITERS), metadata={"description": "Detected, when not given."}
    )
    encoding = fields.String(
        allow_none=True, validate=validate.OneOf(ENCODINGS), metadata={"description": "Detected, when not given."}
    )
    date_format = fields.String(
        validate=[validate.Length(max=40), known_format],
        metadata={"description": "iso, dmy, mdy, ymd, or a pattern of strptime's; iso, when not given."},
    )
    time_zone = fields.String(
        validate=known_zone, metadata={"description": "Of times without a zone; UTC, when not given."}
    )
    on_duplicate = fields.Enum(
        OnDuplicate,
        by_value=True,
        metadata={"description": "When a delivery of the owner has a row's reference; skip, when not given."},
    )

    @validates_schema
    def check_fields(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse fields that a delivery has not, and defaults that no cell could be."""
        wrong: dict[str, Any] = {}
        for path, message in wrong_settings(with_defaults(data)):
            part, _dot, name = path.partition(".")
            wrong.setdefault(part, {})[name] = [message]
        if wrong:
            raise ValidationError(wrong)


def with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with what stands for those that were not given."""
    usual: dict[str, Any] = {
        "mapping": {}, "defaults": {}, "delimiter": None, "encoding": None, "date_format": "iso", "time_zone": "UTC",
        "on_duplicate": OnDuplicate.SKIP,
    }  # fmt: skip
    return usual | settings


class ImportIn(SettingsIn):
    """The part `options` of an upload."""

    template_id = fields.UUID(
        allow_none=True, metadata={"description": "A template of yours; what else is given here goes before it."}
    )
    dry_run = Flag(load_default=False, metadata={"description": "Only say what would happen."})
    notify = Flag(
        load_default=False,
        metadata={"description": "Tell recipients and owner of each delivery, as when it is made by itself."},
    )
    again = Flag(load_default=False, metadata={"description": "Also when this very file was imported before."})
    owner_id = fields.UUID(metadata={"description": "Whose deliveries; only a dispatcher or admin may set it."})


class TemplateIn(SettingsIn):
    name = Line(100, required=True, metadata={"example": "Marketplace orders"})


class TemplatePatch(SettingsIn):
    name = Line(100)


class SettingsOut(Schema):
    mapping = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), required=True)
    defaults = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    delimiter = fields.String(required=True, allow_none=True)
    encoding = fields.String(required=True, allow_none=True)
    date_format = fields.String(required=True)
    time_zone = fields.String(required=True)
    on_duplicate = fields.Enum(OnDuplicate, by_value=True, required=True)


class TemplateOut(SettingsOut):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class TemplatePage(Schema):
    items = fields.List(fields.Nested(TemplateOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class CountsOut(Schema):
    total = fields.Integer(required=True)
    done = fields.Integer(required=True)
    created = fields.Integer(required=True)
    updated = fields.Integer(required=True)
    skipped = fields.Integer(required=True, metadata={"description": "Were there already, and are left as they are."})
    failed = fields.Integer(required=True, metadata={"description": "Are in errors.csv."})


class ImportOut(SettingsOut):
    id = fields.UUID(required=True)
    state = fields.Enum(ImportState, by_value=True, required=True)
    owner_id = fields.UUID(required=True)
    created_by = fields.UUID(required=True, allow_none=True, metadata={"description": "null: an operator."})
    filename = fields.String(required=True, allow_none=True)
    size_bytes = fields.Integer(required=True)
    encoding_guessed = fields.Boolean(
        required=True, metadata={"description": "Look at the names; declare the encoding if they are wrong."}
    )
    dry_run = fields.Boolean(required=True)
    notify = fields.Boolean(required=True)
    rows = fields.Nested(CountsOut, required=True)
    progress = fields.Float(required=True, metadata={"description": "From 0 to 1."})
    error_code = fields.String(required=True, allow_none=True, metadata={"description": "Why it failed as a whole."})
    created_at = fields.AwareDateTime(required=True)
    started_at = fields.AwareDateTime(required=True, allow_none=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)


class ImportPage(Schema):
    items = fields.List(fields.Nested(ImportOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ImportArgs(PageArgs):
    state = fields.Enum(ImportState, by_value=True, load_default=None)


_SETTINGS = tuple(SettingsOut().fields)
_PLAIN = (
    "id", "state", "owner_id", "created_by", "filename", "size_bytes", "dry_run", "notify", "on_duplicate",
    "error_code", "created_at", "started_at", "finished_at",
)  # fmt: skip
_COUNTS = ("created", "updated", "skipped", "failed")


def import_out(row: Any) -> dict[str, Any]:
    """Return what ImportOut documents; `row` has the columns of Import."""
    return {
        **{name: row.settings[name] for name in _SETTINGS if name != "on_duplicate"},
        **{name: getattr(row, name) for name in _PLAIN},
        "encoding_guessed": row.settings["encoding_guessed"],
        "rows": {"total": row.rows_total, "done": row.rows_done, **{name: getattr(row, name) for name in _COUNTS}},
        "progress": round(row.rows_done / row.rows_total, 4),
    }


def template_out(row: Any) -> dict[str, Any]:
    """Return what TemplateOut documents; `row` has the columns of ImportTemplate."""
    plain = {name: getattr(row, name) for name in ("id", "name", "version", "created_at", "updated_at")}
    return {**with_defaults(row.settings), **plain}
