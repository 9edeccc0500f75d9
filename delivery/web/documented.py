"""Documenting what a decorator reads, where flask-smorest looks for it."""

from collections.abc import Callable
from typing import Any

LONGEST_HEADER = 257
# What a view asks of its headers: functions that raise Malformed.
HEADER_CHECKS = "header_checks"
# No text holds U+0000: body.py refuses it, and PostgreSQL keeps none.
ANY_TEXT = r"^[^\x00]*$"
# RFC 9110, 8.8.3: one or several, or any.
ENTITY_TAGS = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'


def header_references(*names: str, **components: str) -> dict[str, Any]:
    """Return what an answer's headers are documented by: components of their names, or of those that are given."""
    named = {name: name for name in names} | components
    return {name: {"$ref": f"#/components/headers/{component}"} for name, component in named.items()}


def takes_header(
    view: Callable[..., Any],
    name: str,
    description: str,
    *,
    pattern: str,
    required: bool = False,
    check: Callable[[], object] | None = None,
) -> None:
    """Add a request header to the document of a view's operation; `check` is called when the body can be read."""
    if check:
        setattr(view, HEADER_CHECKS, (*getattr(view, HEADER_CHECKS, ()), check))
    manual = view.__dict__.setdefault("_apidoc", {}).setdefault("manual_doc", {})
    schema = {"type": "string", "maxLength": LONGEST_HEADER, "pattern": pattern}
    header = {"in": "header", "name": name, "description": description, "required": required, "schema": schema}
    manual.setdefault("parameters", []).append(header)
