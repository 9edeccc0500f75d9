"""flask-smorest, bent to our contract: our parser, our errors, answers that the view has already built."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

import flask_smorest

from delivery.web.body import FORMS, NO_QUERY, Parser
from delivery.web.documented import ANY_TEXT, ENTITY_TAGS, header_references, takes_header

# A page for a browser; what stands in it is no promise.
PAGE = {"type": "string", "maxLength": 1_000_000, "pattern": "^<!doctype html>", "examples": ["<!doctype html>"]}
# Files to download; their length follows from what was asked for.
FILES = _BYTES, _TEXT = (
    {"type": "string", "format": "binary", "maxLength": 2**31 - 1},
    {"type": "string", "pattern": ANY_TEXT, "maxLength": 2**31 - 1},
)
# Headers of an answer that its shape does not tell of.
LOCATED, VERSIONED = header_references("Location"), header_references("ETag")
View = TypeVar("View", bound=Callable[..., Any])


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose decorators document and parse; views build their own answers.

    flask-smorest would dump each answer with Marshmallow and jsonify it: several times the cost of the view.
    """

    ARGUMENTS_PARSER = Parser()
    PAGINATION_HEADER_NAME = None
    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING: ClassVar[dict[str, str]] = {
        **flask_smorest.Blueprint.DEFAULT_LOCATION_CONTENT_TYPE_MAPPING,
        "json_or_form": "application/json",
        "json_or_any_form": "application/json",
    }

    def __init__(self, name: str, import_name: str, *, any_query: bool = False, **options: Any) -> None:
        """Make a blueprint; with `any_query` others decide what stands in the queries of its addresses."""
        super().__init__(name, import_name, **options)
        self._any_query = any_query or not (self.url_prefix or "").startswith("/api")

    def arguments(
        self, schema: Any, *, location: str = "json", form: Any = None, **options: Any
    ) -> Callable[[View], View]:
        """Parse the request with a schema and hand the result to the view; `json_or_form` takes either body.

        `json_or_any_form` takes a form with parts, too. `form` documents a form whose fields have other names.

        One instance serves all requests: webargs would make one for each, with everything that is nested in it.
        """
        schema = schema() if isinstance(schema, type) else schema
        decorate = super().arguments(schema, location=location, **options)
        kinds = {"json_or_form": FORMS[:1], "json_or_any_form": FORMS}.get(location)
        if kinds is None:
            return decorate  # type: ignore[no-any-return]
        as_form = self.doc(requestBody={"content": {kind: {"schema": form or schema} for kind in kinds}})
        return lambda view: as_form(decorate(view))

    def response(self, status_code: int, schema: Any = None, **options: Any) -> Callable[[View], View]:
        return _only_document(super().response(status_code, schema, **options))

    def alt_response(self, status_code: int, response: str | None = None, **options: Any) -> Callable[[View], View]:
        return _only_document(super().alt_response(status_code, response, **options))

    def page_response(self, view: View) -> View:
        """Document that an operation answers with a page."""
        return self.response(HTTPStatus.OK, PAGE, content_type="text/html", description="A page")(view)

    def file_response(self, content_type: str) -> Callable[[View], View]:
        """Document that an operation answers with a file."""
        schema = _TEXT if content_type.startswith("text/") else _BYTES
        return self.response(HTTPStatus.OK, schema, content_type=content_type, description="A file")

    def page_to_form(self, view: View) -> View:
        """Document that an operation answers a page's form with the next page."""
        page: dict[str, Any] = {"schema": PAGE, "content_type": "text/html", "success": True}
        return self.alt_response(HTTPStatus.OK, description="To the page's form", **page)(view)

    def not_modified(self, view: View) -> View:
        """Document that an operation answers 304 to the version that its asker has."""
        takes_header(
            view, "If-None-Match", "The ETag that you have: 304 when it is still the newest.", pattern=ENTITY_TAGS
        )
        return self.alt_response(HTTPStatus.NOT_MODIFIED, description="You have the newest version")(view)

    def errors(self, *statuses: int) -> Callable[[View], View]:
        """Document which errors an operation answers with."""

        def decorate(view: View) -> View:
            for status in statuses:
                view = self.alt_response(status, HTTPStatus(status).name)(view)
            return view

        return decorate

    def errors_or_page(self, *statuses: int) -> Callable[[View], View]:
        """Document errors that a program gets as a problem, and a browser as a page."""

        def decorate(view: View) -> View:
            for status in statuses:
                view = self.alt_response(status, f"{HTTPStatus(status).name}_OR_PAGE")(view)
            return view

        return decorate

    def doc(self, **description: Any) -> Callable[[View], View]:  # static there
        return _only_document(flask_smorest.Blueprint.doc(**description))

    def _refusing_queries(self, view: View) -> View:
        """Note that a view reads no query, and document its 422, unless it has one of its own."""
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        refusing = view if status in _part(view, "response", "responses") else self.errors(status)(view)
        refusing.__dict__[NO_QUERY] = True
        return refusing

    def route(self, rule: str, *, methods: tuple[str, ...] = ("GET",), **options: Any) -> Callable[[View], View]:
        """Register a view; its operationId is the view's name and the blueprint's, unique by construction."""

        def decorate(view: View) -> View:
            named = self.doc(operationId=f"{self.name.replace('-', '_')}_{view.__name__}")(view)
            reads = any(one["in"] == "query" for one in _part(named, "arguments", "parameters"))
            if not (self._any_query or reads):
                named = self._refusing_queries(named)
            decorated: View = super(Blueprint, self).route(rule, methods=list(methods), **options)(named)
            return decorated

        return decorate


def _part(view: View, kind: str, name: str) -> Any:
    """Return what has been documented of a view, where flask-smorest keeps it."""
    return view.__dict__["_apidoc"].get(kind, {}).get(name, ())


def _only_document(decorator: Callable[[View], Any]) -> Callable[[View], View]:
    """Take a decorator's documentation and leave out its wrapper, which each request would run through."""

    def decorate(view: View) -> View:
        view._apidoc = decorator(view)._apidoc  # type: ignore[attr-defined]  # noqa: SLF001  # flask-smorest's own place
        return view

    return decorate
