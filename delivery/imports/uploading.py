"""Reading an upload: the part `options` as JSON, the part `file` straight into the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import orjson
from flask import current_app, g, request
from marshmallow import ValidationError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from delivery.database import transaction
from delivery.errors import Invalid, Malformed, UnsupportedMediaType, invalid_field, wrong_fields
from delivery.imports.files import Unreadable, Upload, discard_unused
from delivery.imports.schemas import ImportIn
from delivery.web.body import ERRORS_AT_MOST, check_headers
from delivery.web.schema import Line, field_errors

_LONGEST_OPTIONS = 65_536
# Beside the file: the boundaries, the headers of the parts, and the options.
_ROOM = 2 * _LONGEST_OPTIONS
_IN_MEMORY = 4 * _LONGEST_OPTIONS
_MOST_PARTS = 10
_OPTIONS, _NAME = ImportIn(), Line(200)


class _Parts:
    """Gives each file of a form a place in the database."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.uploads: list[_Part] = []

    def begin(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None,
        content_length: int | None = None,
    ) -> Any:
        self.uploads.append(_Part(most_bytes=self._most_bytes, filename=_shown(filename)))
        return self.uploads[-1]


class _Part(Upload):
    """What werkzeug writes a part into, and then rewinds."""

    def seek(self, _place: int) -> None:
        self.end()

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def received() -> Iterator[tuple[Upload, dict[str, Any]]]:
    """Read the request's body; lends the stored file and the options. What has become no import is deleted again.

    Raises:
        UnsupportedMediaType: it is no multipart/form-data.
        Malformed: its parts cannot be told apart, or the options are no JSON.
        RequestEntityTooLarge: the file is larger than IMPORT_MAX_BYTES.
        Invalid: there is no file, or more than one; options that mean nothing; or a file that cannot be read.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send the file as multipart/form-data, in a part named `file`.")
    check_headers()
    request.max_content_length = current_app.config["IMPORT_MAX_BYTES"] + _ROOM
    parts = _Parts(current_app.config["IMPORT_MAX_BYTES"])
    try:
        form, names = _parse(parts)
        upload = _the_one(parts, names)
        g.body_digest = upload.sha256 + form.get("options", "").encode()
        yield upload, _options(form)
    except Unreadable as error:
        errors = [{"pointer": "/file", "code": error.code, "message": error.detail}]
        raise Invalid("The file cannot be imported.", errors=errors) from None
    finally:
        if parts.uploads:
            with transaction():
                discard_unused([upload.import_id for upload in parts.uploads])


def _the_one(parts: _Parts, names: list[str]) -> Upload:
    if names != ["file"] or len(parts.uploads) != 1:
        raise invalid_field("/file", "Send one file, in a part named `file` with a filename.", code="required")
    [upload] = parts.uploads
    if upload.too_large:
        raise RequestEntityTooLarge
    return upload


def _parse(parts: _Parts) -> tuple[Any, list[str]]:
    parser = FormDataParser(
        stream_factory=parts.begin,
        max_form_memory_size=_IN_MEMORY,  # it reads 64 KiB of whatever part at a time into it, too
        max_content_length=request.max_content_length,
        max_form_parts=_MOST_PARTS,
        silent=False,
    )
    try:
        _, form, files = parser.parse(
            request.stream, request.mimetype, request.content_length, dict(request.mimetype_params)
        )
    except ValueError:
        raise Malformed("The body's parts cannot be told apart.") from None
    return form, list(files)


def _options(form: Any) -> dict[str, Any]:
    unknown = sorted(set(form) - {"options"})
    if unknown:
        raise invalid_field(f"/{unknown[0][:100]}", "Only `file` and `options` are known here.", code="unknown")
    if len(form.get("options", "")) > _LONGEST_OPTIONS:
        raise RequestEntityTooLarge
    try:
        given = orjson.loads(form.get("options") or "{}")
    except orjson.JSONDecodeError:
        raise Malformed("The part `options` is not valid JSON.") from None
    if b"\\u0000" in orjson.dumps(given):
        raise invalid_field("/options", "Must not hold the character U+0000.")
    try:
        options: dict[str, Any] = _OPTIONS.load(given)
    except ValidationError as error:
        raise wrong_fields(islice(field_errors(error.messages, pointer="/options"), ERRORS_AT_MOST)) from None
    return options


def _shown(filename: str | None) -> str | None:
    """Return a name as it can be stored and shown; without a path."""
    name = (filename or "").replace("\\", "/").rpartition("/")[2]
    kept = "".join(one for one in name if one.isprintable())[:200].strip()
    return kept or None
