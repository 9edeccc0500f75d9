"""/openapi.json, /docs (Swagger UI) and /redoc: from our own files, so that they work offline under a strict CSP."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Flask, Response, current_app, render_template, send_from_directory

from delivery.web import Api

_LOGIN = "/api/auth/login"
# Redoc and Swagger UI set inline styles, and Redoc searches in a worker that it makes from a blob.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_DESCRIPTION = """
Delivery takes a delivery from order to doorstep, lets everybody concerned see where it is, and tells them.

Sign in with `POST /api/auth/login` and send the token as `Authorization: Bearer ...`. Errors are
`application/problem+json` (RFC 9457). Changes need `If-Match`; an `Idempotency-Key` makes a POST or PATCH safe to
repeat.
"""
pages = Blueprint("docs", __name__, template_folder="templates", static_folder="static", static_url_path="/docs/static")


def settings() -> dict[str, Any]:
    """Return what flask-smorest wants to know before the Api is made."""
    return {
        "API_TITLE": "Delivery",
        "API_VERSION": version_of_this(),
        "OPENAPI_VERSION": "3.1.0",
        "API_SPEC_OPTIONS": {
            "info": {"description": _DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
            "servers": [{"url": "/"}],
            "security": [{"password": []}, {"bearer": []}],
            "components": {
                "securitySchemes": {
                    "password": {"type": "oauth2", "flows": {"password": {"tokenUrl": _LOGIN, "scopes": {}}}},
                    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                }
            },
        },
    }


@cache
def version_of_this() -> str:
    """Return the version in setup.cfg."""
    lines = (Path(__file__).parents[2] / "setup.cfg").read_text().splitlines()
    return next(line.partition("=")[2].strip() for line in lines if line.startswith("version"))


def init_app(app: Flask, api: Api) -> None:
    """Serve the document and both of its readers."""
    app.extensions["delivery.openapi"] = orjson.dumps(api.spec.to_dict(), option=orjson.OPT_INDENT_2)
    app.register_blueprint(pages)


@pages.get("/openapi.json")
def openapi() -> Response:
    return Response(current_app.extensions["delivery.openapi"], mimetype="application/json")


@pages.get("/docs")
def swagger_ui() -> Response:
    return _page("ops/swagger_ui.html")


@pages.get("/redoc")
def redoc() -> Response:
    return _page("ops/redoc.html")


@pages.get("/docs/assets/<path:name>")
def asset(name: str) -> Response:
    folder = _folder_of("flask_swagger_ui") / "dist"
    if name == "redoc.standalone.js":
        folder = _folder_of("flask_openapi_redoc") / "templates" / "redoc" / "js"
    return send_from_directory(folder, name, max_age=3600)


def _folder_of(package: str) -> Path:
    """Return where a package lies, without importing it: its files are all that we want of it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"The package {package} is not installed.")
    return Path(spec.submodule_search_locations[0])


def _page(template: str) -> Response:
    response = Response(render_template(template), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _CSP
    return response
