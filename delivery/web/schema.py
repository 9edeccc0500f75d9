"""The base of every schema, and the field types that HTTP input needs."""

import re
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from marshmallow import RAISE, ValidationError, fields, missing, validate
from marshmallow import Schema as MarshmallowSchema
from webargs.multidictproxy import MultiDictProxy

# Control and format characters that reorder, hide or break a line; RFC 9839 lists them as problematic.
# Written as a regular expression's class, because the API's document says it, too.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
_CONTROL_BUT_LAYOUT = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff"
# RFC 3339, 5.6, to the microsecond.
_NO_MOMENT = "Must be a date and a time with their zone, such as 2026-03-01T09:30:00Z; + is %2B in an address."
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Schema(MarshmallowSchema):
    """Unknown fields are refused, and fields are documented in the order of their declaration."""

    class Meta:
        unknown = RAISE

    def _deserialize(
        self,
        data: Any,
        *,
        error_store: Any,
        many: bool = False,
        partial: Any = None,
        unknown: Any = RAISE,
        index: int | None = None,
    ) -> Any:
        """Load one object as marshmallow does, in half the time: it goes through all that was left out, too.

        Lists of objects, forms, partial loading and unknown fields that are welcome are left to it.
        """
        if many or partial or unknown != RAISE or index is not None or not isinstance(data, dict):
            options = {"many": many, "partial": partial, "unknown": unknown, "index": index}
            return super()._deserialize(data, error_store=error_store, **options)
        loaded, unread = {}, set(data)
        for name, field in self.load_fields.items():
            key = name if field.data_key is None else field.data_key
            if key not in unread and not field.required and field.load_default is missing:
                continue
            unread.discard(key)
            try:
                value = field.deserialize(data.get(key, missing), key, data)
            except ValidationError as error:
                error_store.store_error(error.messages, key)
                value = error.valid_data or missing
            if value is not missing:
                loaded[field.attribute or name] = value
        for key in unread:
            error_store.store_error([self.error_messages["unknown"]], key)
        return loaded


class Line(fields.String):
    """One line of text, trimmed, without control characters, of `shortest` to `longest` characters.

    The length holds for what is sent, too: the API's document can say nothing of trimming.
    """

    default_error_messages = {  # noqa: RUF012  # marshmallow's own way
        "control": "Must be one line without control characters."
    }
    _refused = _CONTROL

    def __init__(self, longest: int, *, shortest: int = 1, **options: Any) -> None:
        more = options.pop("validate", [])
        self._lengths, self._length = (shortest, longest), validate.Length(min=shortest, max=longest)
        self._is_plain = not more and type(self)._deserialize is Line._deserialize  # noqa: SLF001  # our own
        text = f"[^{self._refused}]*"
        self._wrong = re.compile(f"[{self._refused}]")
        pattern = rf"^{text}[^\s{self._refused}]{text}$" if shortest else f"^{text}$"
        metadata = {"pattern": pattern, **options.pop("metadata", {})}
        super().__init__(validate=[self._length, *more], metadata=metadata, **options)

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **options: Any) -> Any:
        """Take what is right, as nearly all is, in one step; what is wrong with the rest, marshmallow says."""
        if self._is_plain and type(value) is str and len(value) <= self._lengths[1]:
            text = value.strip()
            if len(text) >= self._lengths[0] and not self._wrong.search(text):
                return text
        return super().deserialize(value, attr, data, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        sent: str = super()._deserialize(value, attr, data, **options)
        self._length(sent)
        text = sent.strip()
        if self._wrong.search(text):
            raise self.make_error("control")
        return text


class Paragraph(Line):
    """Text of several lines."""

    default_error_messages = {"control": "Must not hold control characters."}  # noqa: RUF012
    _refused = _CONTROL_BUT_LAYOUT


class Text(fields.String):
    """Any text of at most `longest` characters."""

    def __init__(self, longest: int, **options: Any) -> None:
        super().__init__(validate=validate.Length(max=longest), **options)


class Word(fields.String):
    """A name, a code or a token: visible ASCII without spaces, at most `longest` of them."""

    def __init__(self, longest: int, **options: Any) -> None:
        shape = validate.Regexp(r"[!-~]*\Z", error="Must hold no spaces, and ASCII alone.")
        super().__init__(validate=[validate.Length(max=longest), shape], **options)


class Whole(fields.Integer):
    """A whole number from `least` to `most`; true, 1.0 and "1" are none."""

    def __init__(self, least: int, most: int, **options: Any) -> None:
        options.setdefault("strict", True)
        super().__init__(validate=validate.Range(min=least, max=most), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **options)


class Number(fields.Float):
    """A number; true and "1.5" are none."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if isinstance(value, str):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **options)


class Flag(fields.Boolean):
    """true or false; what only looks like one of them, such as 1 or "yes", is neither."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Tick(Flag):
    """A Flag that a form may send, too: all is text there, and a box without a tick is not sent."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if isinstance(data, MultiDictProxy):
            value = {"true": True, "false": False}.get(value, value)
        return super()._deserialize(value, attr, data, **options)


class Time(fields.AwareDateTime):
    """A moment with its zone (RFC 3339), kept in UTC; in a zone far off, the first and last years have moments more."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("error_messages", {"invalid": _NO_MOMENT})
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        moment = super()._deserialize(value, attr, data, **options)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class Each(fields.List[Any]):
    """A list of 1 to `most` items that are judged one by one: where one is wrong stands its ValidationError."""

    def __init__(self, item: type[Schema], most: int, **options: Any) -> None:
        super().__init__(fields.Nested(item), validate=validate.Length(min=1, max=most), **options)
        self.most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        if len(value) > self.most:  # before it costs anything to look at them
            raise ValidationError(f"Must have at most {self.most} items.")
        return [self._judged(item) for item in value]

    def _judged(self, item: Any) -> Any:
        try:
            return self.inner.deserialize(item)
        except ValidationError as error:
            return error


_CODES = {
    "Missing data for required field.": "required",
    "Unknown field.": "unknown",
    "Field may not be null.": "null",
}


def field_errors(messages: Any, *, pointer: str = "") -> Iterator[dict[str, str]]:
    """Flatten marshmallow's nested messages to one entry a wrong field, each with its JSON pointer."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from field_errors(inner, pointer=pointer if key == "_schema" else f"{pointer}/{escape(key)}")
    elif isinstance(messages, str):
        yield {"pointer": pointer, "code": _CODES.get(messages, "invalid"), "message": messages}
    else:
        for message in messages:
            yield from field_errors(message, pointer=pointer)


def escape(key: object) -> str:
    """Escape a key for a JSON pointer (RFC 6901, 3); a hostile name is cut, because the answer echoes it."""
    return str(key)[:100].replace("~", "~0").replace("/", "~1")
