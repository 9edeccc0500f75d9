"""Reading requests: media type, size, JSON, and the schema's verdict, in that order."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, NoReturn, TypeAlias

import orjson
from flask import Request, current_app, request
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import MultiDict

from delivery.errors import FieldError, Invalid, Malformed, UnsupportedMediaType, wrong_fields
from delivery.web.documented import HEADER_CHECKS
from delivery.web.schema import escape, field_errors

FORMS = _FORM, _FILES = "application/x-www-form-urlencoded", "multipart/form-data"
# Enough for any honest mistake; without an end, a body of a megabyte would be answered with fifty.
ERRORS_AT_MOST = 100
# A view that has it, reads nothing from the query.
NO_QUERY = "no_query"
_NUL, _SURROGATE = re.compile("\0"), re.compile("[\ud800-\udfff]")
_Path: TypeAlias = "tuple[_Path, object] | None"  # the way in, and the last step of it


class Parser(FlaskParser):
    """webargs' parser with our errors; a wrong media type is 415, not an empty body."""

    DEFAULT_VALIDATION_STATUS = HTTPStatus.UNPROCESSABLE_ENTITY
    # webargs would drop unknown query parameters: a misspelt filter would list everything.
    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {"query": None}  # noqa: RUF012  # no class variable there
    __location_map__: dict[str, str | Callable[..., Any]] = {  # noqa: RUF012  # nor here
        **FlaskParser.__location_map__,
        "json_or_any_form": "load_json_or_any_form",
    }

    def load_json(self, req: Request, schema: Schema) -> Any:
        return read_json(req)

    def load_form(self, req: Request, schema: Schema) -> Any:
        if req.mimetype != _FORM:
            raise UnsupportedMediaType(f"Send the body as {_FORM}.")
        return MultiDictProxy(_without_nul(req.form), schema)

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Read the query; `status[]=a&status[]=b` is the same as `status=a&status=b`."""
        pairs = ((key.removesuffix("[]"), value) for key, value in req.args.items(multi=True))
        return MultiDictProxy(_without_nul(MultiDict(pairs)), schema)

    def load_json_or_form(self, req: Request, schema: Schema) -> Any:
        return self.load_form(req, schema) if req.mimetype == _FORM else self.load_json(req, schema)

    def load_json_or_any_form(self, req: Request, schema: Schema) -> Any:
        """Read JSON or either kind of form, as RFC 8058 (3.2) lets mail programs choose."""
        if req.mimetype != _FILES:
            return self.load_json_or_form(req, schema)
        return MultiDictProxy(_without_nul(req.form), schema)

    def pre_load(self, location_data: Any, *, schema: Schema, req: Request, location: str) -> Any:
        """Refuse headers that mean nothing: a 400, as is a body that cannot be read; what it says may be a 422."""
        check_headers()
        return location_data

    def handle_error(
        self,
        error: ValidationError,
        req: Request,
        schema: Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        located: dict[str, Any] = error.messages  # type: ignore[assignment]  # {location: messages}, by webargs
        errors = islice((found for messages in located.values() for found in field_errors(messages)), ERRORS_AT_MOST)
        raise wrong_fields(errors) from None


def check_query() -> None:
    """Refuse the query where the view reads none: a `dry_run` that belongs into the body would do what it rehearses.

    Raises:
        Invalid: it names each parameter.
    """
    if request.query_string and hasattr(current_app.view_functions[request.endpoint or ""], NO_QUERY):
        unknown = {"code": "unknown", "message": "Unknown field."}
        names = islice(request.args, ERRORS_AT_MOST)
        raise wrong_fields({"pointer": f"/{escape(name)}", **unknown} for name in names)


def check_headers() -> None:
    """Ask what the view asks of the request's headers; for whoever reads the body without `arguments`.

    Raises:
        Malformed: one of them means nothing.
    """
    for check in getattr(current_app.view_functions[request.endpoint or ""], HEADER_CHECKS, ()):
        check()


def read_json(request: Request) -> Any:
    """Parse the body as JSON.

    Raises:
        UnsupportedMediaType: the body is not declared as UTF-8 JSON.
        Malformed: it is no JSON, is not UTF-8, or is nested too deeply.
        Invalid: it holds text that cannot be stored: U+0000 or half a surrogate pair.
    """
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType("Send the body as application/json in UTF-8.")
    raw = request.get_data(cache=True)
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "surrogate in string" in error.msg:  # else it would be invalid UTF-8
            raise _with_half_a_pair(raw) from None
        raise Malformed("The body is not valid JSON.") from None
    if b"\\u0000" in raw:
        _refuse_nul(data)
    return data


def _without_nul(values: MultiDict[str, str]) -> MultiDict[str, str]:
    _refuse_nul({name: some[0] if len(some) == 1 else some for name, some in values.lists()})
    return values


def _refuse_nul(data: Any) -> None:
    errors = _invalid(_pointers(data, _NUL), "Must not hold the character U+0000.")
    if errors:
        raise wrong_fields(errors)


def _with_half_a_pair(raw: bytes) -> Invalid:
    """Build the error of text that is none; what orjson does not read, Python does."""
    try:
        found = _pointers(json.loads(raw), _SURROGATE)
        return wrong_fields(_invalid(found, "Must not hold half a surrogate pair."))
    except (ValueError, RecursionError):
        return Invalid("The body holds half a surrogate pair.")


def _invalid(pointers: Iterable[str], message: str) -> list[FieldError]:
    return [{"pointer": one, "code": "invalid", "message": message} for one in islice(pointers, ERRORS_AT_MOST)]


def _pointers(data: Any, wrong: re.Pattern[str]) -> Iterator[str]:
    """Find text that is not allowed in a loop: a body may be nested deeper than Python recurses."""
    waiting: list[tuple[_Path, Any]] = [(None, data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str) and wrong.search(value):
            yield _pointer(path)
        elif isinstance(value, dict):
            waiting.extend(((path, key), inner) for key, inner in value.items())
            yield from (_pointer((path, key)) for key in value if wrong.search(key))
        elif isinstance(value, list):
            waiting.extend(((path, index), inner) for index, inner in enumerate(value))


def _pointer(path: _Path) -> str:
    """Write a path as a JSON pointer; only where it is needed, since a long path to many values adds up."""
    names = []
    while path is not None:
        path, name = path
        names.append(_SURROGATE.sub("", _NUL.sub("", escape(name))))
    return "".join(f"/{name}" for name in reversed(names))
