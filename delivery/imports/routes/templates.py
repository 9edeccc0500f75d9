"""/api/import-templates: how your files are read, kept under a name."""

from typing import Any

from flask import Response

from delivery.database import transaction
from delivery.idempotency import transactional
from delivery.imports import queries, templates
from delivery.imports.access import template_for
from delivery.imports.schemas import TemplateIn, TemplateOut, TemplatePage, TemplatePatch, template_out
from delivery.web import Blueprint, Expected, answer, caller, created, found, if_match, no_content, signed_in, single
from delivery.web.paging import PageArgs, page_from, uuid_position

blp = Blueprint(
    "import-templates",
    __name__,
    url_prefix="/api/import-templates",
    description="How your files are read, kept under a name.",
)


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(PageArgs, location="query")
@blp.response(200, TemplatePage)
def index(args: dict[str, Any]) -> Response:
    """List your templates, the newest first.

    They are the account's: its sessions and keys share them.
    """
    after, limit = uuid_position(args["cursor"], sort="-id"), args["limit"]
    user_id = caller().id
    rows = queries.templates(user_id, after=after, limit=limit + 1) if user_id else []
    return answer(page_from(rows, limit=limit, shown=template_out))


@blp.route("", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422)
@blp.arguments(TemplateIn)
@blp.response(201, TemplateOut)
@transactional
def create(body: dict[str, Any]) -> Response:
    """Keep settings of imports under a name.

    The name is unique among yours (409 `name_taken`), and 100 are the most. `template_id` of an import takes one.
    """
    made = templates.create(caller(), **body)
    return created(template_out(made), location=f"/api/import-templates/{made.id}")


@blp.route("/<uuid:template_id>")
@signed_in
@found(template_for)
@blp.errors(401, 403, 404)
@blp.response(200, TemplateOut)
@blp.not_modified
def show(template: Any) -> Response:
    """Read one of your templates.

    Its ETag is for `If-Match`, where it is to be changed.
    """
    return single(template_out(template))


@blp.route("/<uuid:template_id>", methods=("PATCH",))
@signed_in
@found(template_for)
@blp.errors(400, 401, 403, 404, 409, 412, 413, 415, 422, 428)
@blp.arguments(TemplatePatch)
@blp.response(200, TemplateOut)
@if_match
@transactional
def change(template: Any, body: dict[str, Any], *, expected: Expected) -> Response:
    """Change one of your templates; imports that were begun with it are not touched.

    What is left out stays as it is; `mapping` and `defaults` are replaced whole. Needs `If-Match`.
    """
    return single(template_out(templates.change(template, expected=expected, **body)))


@blp.route("/<uuid:template_id>", methods=("DELETE",))
@signed_in
@found(template_for)
@blp.errors(400, 401, 403, 404, 409, 412, 428)
@blp.response(204)
@if_match
@transaction()
def delete(template: Any, *, expected: Expected) -> Response:
    """Delete one of your templates.

    Imports that were begun with it go on. Needs `If-Match`.
    """
    templates.remove(template, expected=expected)
    return no_content()
