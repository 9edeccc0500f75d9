"""The shapes of imports and their templates, in and out."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from delivery.imports.dates import NAMED, is_format
from delivery.imports.encodings import ENCODINGS
from delivery.imports.mapping import wrong_settings
from delivery.imports.states import COUNTS, DELIMITERS, MOST_ROWS, ImportState, OnDuplicate
from delivery.imports.targets import TARGETS
from delivery.users.schemas import LONGEST_ZONE, zone_field
from delivery.web import Flag, Line, Schema, Text, Whole, Word
from delivery.web.documented import ANY_TEXT
from delivery.web.paging import PageArgs, page_of

_LONGEST_NAME, _LONGEST_DEFAULT, _LONGEST_FORMAT = 200, 2000, 40
_MOST_COLUMNS_OF_A_FIELD = 5
LARGEST_FILE = 1_073_741_824  # the most that IMPORT_MAX_BYTES can be
_MAPPING = {
    "reference": "order_id", "item_name": "Item", "recipient.name": ["First name", "Last name"],
    "destination.line1": "Street", "destination.city": "Town",
}  # fmt: skip
_FILE = (
    "order_id,Item,First name,Last name,Street,Town\r\norder-1001,Kettle,Grace,Doorstep,12 Harbour Street,Bristol\r\n"
)
_path = fields.String(validate=validate.Length(max=100), metadata={"enum": list(TARGETS)})
_column = {"type": "string", "minLength": 1, "maxLength": _LONGEST_NAME, "pattern": ANY_TEXT}
_columns = {"type": "array", "minItems": 1, "maxItems": _MOST_COLUMNS_OF_A_FIELD, "items": _column}


def _few() -> Any:
    return validate.Length(max=len(TARGETS))


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
        values=Columns(metadata={"oneOf": [_column, _columns]}),
        validate=_few(),
        metadata={
            "description": "Field of a delivery: name of its column, or a list of names. Without it, columns that are "
            "named as fields are taken. Other columns are passed over.",
            "example": _MAPPING,
        },
    )
    defaults = fields.Dict(
        keys=_path,
        values=fields.String(validate=validate.Length(min=1, max=_LONGEST_DEFAULT)),
        validate=_few(),
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
        validate=[validate.Length(max=_LONGEST_FORMAT), known_format],
        metadata={
            "description": "iso, dmy, mdy, ymd, or a pattern of strptime's; iso, when not given.",
            "example": "%d.%m.%Y %H:%M",
        },
    )
    time_zone = zone_field(description="Of times without a zone; UTC, when not given.")
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


class UploadIn(Schema):
    """The parts of an upload; it only documents, uploading.py reads them."""

    file = fields.Raw(
        required=True,
        metadata={
            "type": "string",
            "format": "binary",
            "maxLength": LARGEST_FILE,
            "description": "CSV, with the names of its columns in the first row.",
            "example": _FILE,
        },
    )
    options = fields.Nested(
        ImportIn,
        metadata={
            "description": "As application/json.",
            "example": {"mapping": _MAPPING, "defaults": {"destination.country": "GB"}},
        },
    )


class TemplateIn(SettingsIn):
    name = Line(100, required=True, metadata={"example": "Marketplace orders"})


class TemplatePatch(SettingsIn):
    name = Line(100)


class SettingsOut(Schema):
    mapping = fields.Dict(
        keys=fields.String(),
        values=fields.List(Text(_LONGEST_NAME), validate=validate.Length(max=_MOST_COLUMNS_OF_A_FIELD)),
        required=True,
        validate=_few(),
        metadata={"example": {"reference": ["order_id"], "recipient.name": ["First name", "Last name"]}},
    )
    defaults = fields.Dict(
        keys=fields.String(),
        values=Text(_LONGEST_DEFAULT),
        required=True,
        validate=_few(),
        metadata={"example": {"destination.country": "GB"}},
    )
    delimiter = fields.String(required=True, allow_none=True, validate=validate.OneOf(DELIMITERS))
    encoding = Word(20, required=True, allow_none=True, metadata={"example": "utf-8"})
    date_format = Text(_LONGEST_FORMAT, required=True, metadata={"example": "iso"})
    time_zone = Word(LONGEST_ZONE, required=True, metadata={"example": "UTC"})
    on_duplicate = fields.Enum(OnDuplicate, by_value=True, required=True)


class TemplateOut(SettingsOut):
    id = fields.UUID(required=True)
    name = Text(100, required=True, metadata={"example": "Marketplace orders"})
    version = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


TemplatePage = page_of(TemplateOut)


def _count(**metadata: Any) -> Whole:
    return Whole(0, MOST_ROWS, required=True, metadata=metadata)


class CountsOut(Schema):
    total = _count()
    done = _count()
    created = _count()
    updated = _count()
    skipped = _count(description="Were there already, and are left as they are.")
    failed = _count(description="Are in errors.csv.")


class ImportOut(SettingsOut):
    id = fields.UUID(required=True)
    state = fields.Enum(ImportState, by_value=True, required=True)
    owner_id = fields.UUID(required=True)
    created_by = fields.UUID(required=True, allow_none=True, metadata={"description": "null: an operator."})
    filename = Text(200, required=True, allow_none=True, metadata={"example": "orders.csv"})
    size_bytes = Whole(0, LARGEST_FILE, required=True)
    encoding_guessed = fields.Boolean(
        required=True, metadata={"description": "Look at the names; declare the encoding if they are wrong."}
    )
    dry_run = fields.Boolean(required=True)
    notify = fields.Boolean(required=True)
    rows = fields.Nested(CountsOut, required=True)
    progress = fields.Float(
        required=True, validate=validate.Range(0, 1), metadata={"description": "From 0 to 1.", "example": 0.5}
    )
    error_code = Word(40, required=True, allow_none=True, metadata={"description": "Why it failed as a whole."})
    created_at = fields.AwareDateTime(required=True)
    started_at = fields.AwareDateTime(required=True, allow_none=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)


ImportPage = page_of(ImportOut)


class ImportArgs(PageArgs):
    state = fields.Enum(ImportState, by_value=True, load_default=None)


_SETTINGS = tuple(SettingsOut().fields)
_PLAIN = (
    "id", "state", "owner_id", "created_by", "filename", "size_bytes", "dry_run", "notify", "on_duplicate",
    "error_code", "created_at", "started_at", "finished_at",
)  # fmt: skip


def import_out(row: Any) -> dict[str, Any]:
    """Return what ImportOut documents; `row` has the columns of Import."""
    return {
        **{name: row.settings[name] for name in _SETTINGS if name != "on_duplicate"},
        **{name: getattr(row, name) for name in _PLAIN},
        "encoding_guessed": row.settings["encoding_guessed"],
        "rows": {"total": row.rows_total, "done": row.rows_done, **{name: getattr(row, name) for name in COUNTS}},
        "progress": round(row.rows_done / row.rows_total, 4),
    }


def template_out(row: Any) -> dict[str, Any]:
    """Return what TemplateOut documents; `row` has the columns of ImportTemplate."""
    plain = {name: getattr(row, name) for name in ("id", "name", "version", "created_at", "updated_at")}
    return {**with_defaults(row.settings), **plain}
