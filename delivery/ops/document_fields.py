"""What a field says of itself in the OpenAPI document: its limits, in the regular expressions that JSON Schema has."""

from typing import Any

from marshmallow import fields

from delivery.web.documented import ANY_TEXT

_INT32 = 2**31 - 1
_FORMATS: dict[str, dict[str, Any]] = {
    "uuid": {"minLength": 36, "maxLength": 36},
    "date-time": {"minLength": 20, "maxLength": 32},
}


def limits_of(_converter: Any, field: fields.Field[Any], *, ret: dict[str, Any]) -> dict[str, Any]:
    """Return what apispec leaves out; it calls this after its own, with what they said."""
    if isinstance(field, fields.Enum):  # ours are all of words
        return {"type": ["string", "null"] if field.allow_none else "string"}
    kind = ret.get("type")
    kinds = {kind} if isinstance(kind, str) else set(kind or ())
    if "string" in kinds:
        return _of_text(ret)
    if "integer" in kinds:
        most = ret.get("maximum", _INT32)
        return {"minimum": ret.get("minimum", 0), "maximum": most, "format": "int64" if most > _INT32 else "int32"}
    if isinstance(field, fields.Dict):
        return _of_names(field, ret)
    return {}


def _of_names(field: fields.Dict, said: dict[str, Any]) -> dict[str, Any]:
    most = said.pop("maxLength", 100)  # so apispec calls how many there may be
    limits = {"maxProperties": said.get("maxProperties", most)}
    known = field.key_field.metadata.get("enum") if field.key_field else None
    return {**limits, "propertyNames": {"enum": known}} if known else limits


def _of_text(said: dict[str, Any]) -> dict[str, Any]:
    if "pattern" in said:
        return {"pattern": ecmascript(said["pattern"])}
    if "enum" in said:
        return {}
    limits = {name: value for name, value in _FORMATS.get(said.get("format", ""), {}).items() if name not in said}
    return limits if "format" in said else {"pattern": ANY_TEXT}


def ecmascript(pattern: str) -> str:
    r"""Return a pattern that Python matches from the beginning to `\Z` as JSON Schema writes it (ECMA-262)."""
    body = pattern.removeprefix("^")
    return f"^{body[:-2]}$" if body.endswith(r"\Z") else f"^{body}"
