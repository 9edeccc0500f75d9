"""/api/imports and /api/import-templates."""

from delivery.imports.routes.runs import blp as runs
from delivery.imports.routes.templates import blp as templates

__all__ = ["runs", "templates"]
