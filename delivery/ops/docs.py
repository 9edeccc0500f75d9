"""/openapi.json, /docs (Swagger UI) and /redoc: from our own files, so that they work offline under a strict CSP."""

from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, current_app, render_template, send_from_directory

from delivery.errors import NotFound
from delivery.ops.openapi import document

# Redoc and Swagger UI set inline styles, and Redoc searches in a worker that it makes from a blob.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_SWAGGER_UI = ("flask_swagger_ui", "dist")
# What the two pages load, and where it lies; the rest of those packages, an OAuth page among it, is not served.
_ASSETS = {
    "favicon-32x32.png": _SWAGGER_UI,
    "index.css": _SWAGGER_UI,
    "swagger-ui.css": _SWAGGER_UI,
    "swagger-ui-bundle.js": _SWAGGER_UI,
    "redoc.standalone.js": ("flask_openapi_redoc", "templates/redoc/js"),
}
pages = Blueprint("docs", __name__, template_folder="templates", static_folder="static", static_url_path="/docs/static")


@pages.get("/openapi.json")
def openapi() -> Response:
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's documented way
    return Response(document(app), mimetype="application/json")


@pages.get("/docs")
def swagger_ui() -> Response:
    return _page("ops/swagger_ui.html")


@pages.get("/redoc")
def redoc() -> Response:
    return _page("ops/redoc.html")


@pages.get("/docs/assets/<name>")
def asset(name: str) -> Response:
    if name not in _ASSETS:
        raise NotFound
    package, folder = _ASSETS[name]
    return _guarded(send_from_directory(_folder_of(package) / folder, name, max_age=3600))


def _folder_of(package: str) -> Path:
    """Return where a package lies, without importing it: its files are all that we want of it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"The package {package} is not installed.")
    return Path(spec.submodule_search_locations[0])


def _page(template: str) -> Response:
    return _guarded(Response(render_template(template), mimetype="text/html"))


def _guarded(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _CSP
    return response
