"""Building answers: JSON in one pass, versions as ETags, 304 where nothing changed."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from flask import Response, request

from delivery.errors import Malformed
from delivery.web.documented import ENTITY_TAGS, LONGEST_HEADER

_CONDITION, _TAG = re.compile(ENTITY_TAGS), re.compile(r'(W/)?"([^"]*)"')
_JSON = orjson.OPT_UTC_Z  # times as RFC 3339 with Z


def dump_json(body: Any) -> bytes:
    """Serialise plain data; UUIDs, aware datetimes and string enums included."""
    return orjson.dumps(body, option=_JSON)


def answer(body: Any, status: int = HTTPStatus.OK, *, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON that only its asker may keep."""
    response = Response(dump_json(body), status=status, mimetype="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization"
    if headers:
        response.headers.update(headers)
    return response


def etag_of(version: int) -> str:
    """Return the strong ETag of a version (RFC 9110, 8.8.3)."""
    return f'"{version}"'


def entity_tags(name: str) -> list[tuple[str, str]] | None:
    """Return what a conditional header of the request names: tags, each behind its `W/` or nothing; None: `*`.

    Raises:
        Malformed: it is neither, or too long.
    """
    header = request.headers[name].strip()
    if len(header) > LONGEST_HEADER or not _CONDITION.fullmatch(header):
        raise Malformed(f'{name} must be `*` or quoted entity tags, such as "3", in {LONGEST_HEADER} characters.')
    return None if header == "*" else _TAG.findall(header)


def single(body: Mapping[str, Any]) -> Response:
    """Answer with one resource and its ETag; 304 when the asker has this version already."""
    etag = etag_of(body["version"])
    if request.method in {"GET", "HEAD"} and "If-None-Match" in request.headers and _is_known(str(body["version"])):
        response = answer(None, headers={"ETag": etag})
        response.status_code, response.data = HTTPStatus.NOT_MODIFIED, b""
        return response
    return answer(body, headers={"ETag": etag})


def _is_known(version: str) -> bool:
    """Tell whether the asker has this version; If-None-Match compares weakly (RFC 9110, 13.1.2)."""
    tags = entity_tags("If-None-Match")
    return tags is None or any(tag == version for _, tag in tags)


def created(body: Mapping[str, Any], *, location: str) -> Response:
    """Answer 201 with the new resource, its address and its ETag."""
    headers = {"Location": location, "ETag": etag_of(body["version"])}
    return answer(body, HTTPStatus.CREATED, headers=headers)


def accepted(detail: str) -> Response:
    """Answer 202: it will be done, or quietly not; the body does not tell which."""
    return answer({"detail": detail}, HTTPStatus.ACCEPTED)


def no_content() -> Response:
    return Response(status=HTTPStatus.NO_CONTENT)
