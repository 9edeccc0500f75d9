"""The pages that links in mails lead to: they work without JavaScript, and looking at one changes nothing."""

from http import HTTPStatus
from typing import Any

from flask import Response, current_app, render_template

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def page(name: str, *, status: int = HTTPStatus.OK, **words: Any) -> Response:
    """Answer with a page; a template is given `token` while its form may be of use, and `done` when it was."""
    html = render_template(f"auth/{name}.html", shortest=current_app.config["PASSWORD_MIN_LENGTH"], **words)
    return Response(html, status=status, mimetype="text/html", headers=_HEADERS)
