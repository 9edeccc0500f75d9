"""Documenting what a decorator reads, where flask-smorest looks for it."""

from collections.abc import Callable
from typing import Any

LONGEST_HEADER = 257


# RFC 9110, 8.8.3: one or several, or any.
ENTITY_TAGS = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'


def takes_header(
    view: Callable[..., Any], name: str, description: str, *, pattern: str, required: bool = False
) -> None:
    """Add a request header to the document of a view's operation."""
    manual = view.__dict__.setdefault("_apidoc", {}).setdefault("manual_doc", {})
    schema = {"type": "string", "maxLength": LONGEST_HEADER, "pattern": pattern}
    header = {"in": "header", "name": name, "description": description, "required": required, "schema": schema}
    manual.setdefault("parameters", []).append(header)
