"""What every route shares: parsing, who asks, versions, pages, answers, errors."""

from delivery.web.answers import accepted, answer, created, dump_json, etag_of, no_content, single
from delivery.web.blueprint import Blueprint
from delivery.web.callers import SYSTEM, Caller, caller, found, public, signed_in, signed_in_or_not
from delivery.web.preconditions import ANY_VERSION, Expected, if_match, if_match_optional
from delivery.web.schema import Each, Flag, Line, Number, Paragraph, Schema, Text, Tick, Time, Whole, Word

__all__ = [
    "ANY_VERSION",
    "SYSTEM",
    "Blueprint",
    "Caller",
    "Each",
    "Expected",
    "Flag",
    "Line",
    "Number",
    "Paragraph",
    "Schema",
    "Text",
    "Tick",
    "Time",
    "Whole",
    "Word",
    "accepted",
    "answer",
    "caller",
    "created",
    "dump_json",
    "etag_of",
    "found",
    "if_match",
    "if_match_optional",
    "no_content",
    "public",
    "signed_in",
    "signed_in_or_not",
    "single",
]
