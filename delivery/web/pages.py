"""What the pages have in common that links in mails lead to: no JavaScript, and nothing from elsewhere."""

from http import HTTPStatus

from flask import Response, request

_FORM = "application/x-www-form-urlencoded"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def html_page(html: str, *, status: int = HTTPStatus.OK) -> Response:
    """Answer with a page."""
    return Response(html, status=status, mimetype="text/html", headers=_HEADERS)


def from_browser() -> bool:
    """Tell whether a page asks: it posts a form, and wants to see a page. Programs send JSON."""
    looks = request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("Accept", "")
    return looks or request.mimetype == _FORM
