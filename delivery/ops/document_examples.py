"""Examples of whole bodies for the OpenAPI document, made of the examples that their fields give.

A field gives one as `metadata={"example": ...}`; what follows from its type needs none: the first word of an
enumeration, null where that is allowed. In a request stand the fields that are required or give an example.
"""

from typing import Any

_ID = "0190a0a0-0000-7000-8000-000000000001"
_FORMATS = {"uuid": _ID, "date-time": "2026-03-01T09:30:00Z"}
_NONE = object()


class NoExample(LookupError):
    """A field has no example and nothing that one could follow from."""


def add_examples(document: dict[str, Any]) -> None:
    """Give every schema that is a whole body an example.

    Raises:
        NoExample: a field says too little.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]
    asked, answered = _names(document, "requestBody"), _names(document, "responses")
    for name in sorted(asked | answered):
        schemas[name]["examples"] = [_of(schemas[name], schemas, place=name, whole=name in answered)]


def _names(document: dict[str, Any], part: str) -> set[str]:
    """Return the names of the schemas that bodies of requests, or of answers, have."""
    operations = (operation for path in document["paths"].values() for operation in path.values())
    found: set[str] = set()
    for operation in operations:
        given = operation.get(part, {}) if isinstance(operation, dict) else {}
        for one in given.values() if part == "responses" else [given]:
            found |= {media["schema"]["$ref"] for media in one.get("content", {}).values() if "$ref" in _schema(media)}
    problem = {"Problem"} if part == "responses" else set()
    return {reference.rpartition("/")[2] for reference in found} | problem


def _schema(media: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = media.get("schema", {})
    return found


def _of(schema: dict[str, Any], schemas: dict[str, Any], *, place: str, whole: bool) -> Any:
    """Return an example of a value; `whole`: with everything that may be in it."""
    if "example" in schema:
        return schema["example"]
    if "anyOf" in schema:
        return _of(schema["anyOf"][0], schemas, place=place, whole=whole)
    if "$ref" in schema:
        return _of(schemas[schema["$ref"].rpartition("/")[2]], schemas, place=place, whole=whole)
    kinds = schema.get("type", [])
    if kinds == "object":
        return _of_object(schema, schemas, place=place, whole=whole)
    if kinds == "array":
        return [_of(schema["items"], schemas, place=f"{place}[]", whole=whole)]
    found = _of_plain(schema)
    if found is _NONE:
        raise NoExample(f'{place} needs an example: give its field metadata={{"example": ...}}.')
    return found


def _of_object(schema: dict[str, Any], schemas: dict[str, Any], *, place: str, whole: bool) -> dict[str, Any]:
    required = schema.get("required", [])
    return {
        name: _of(inner, schemas, place=f"{place}.{name}", whole=whole)
        for name, inner in schema.get("properties", {}).items()
        if whole or name in required or "example" in inner
    }


def _of_plain(schema: dict[str, Any]) -> Any:
    if "null" in schema["type"]:
        return None
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "boolean":
        return schema.get("default", False)
    if schema["type"] == "integer":
        return schema.get("default", max(schema["minimum"], min(1, schema["maximum"])))
    return _FORMATS.get(schema.get("format", ""), _NONE)
