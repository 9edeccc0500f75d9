"""docs/api/errors.md has every code that the source can answer, under its status, and no other."""

import ast
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from delivery import errors
from delivery.ops import web_worker
from delivery.web import schema

PAGE = Path("docs/api/errors.md").read_text()
CODES, FIELDS = PAGE.split("## Each field")
KINDS = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.AppError)
}
# What flask and werkzeug raise by themselves, and web/problems.py translates by the name of the status.
TRANSLATED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}
# `Conflict` and the like, whatever they are called by where they are raised; the code stands beside.
RAISING = {**KINDS, "_not_refreshed": errors.Unauthorized}


def rows(text):
    """The codes of the tables, each with the cells beside it."""
    for line in re.findall(r"(?m)^\| (?:\d{3} )?.*\|$", text):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        codes = re.findall(r"^`([a-z_]+)`$", cells[1] if cells[0].isdecimal() else cells[0])
        yield from ((code, cells) for code in codes)


TOLD = {code: int(cells[0]) for code, cells in rows(CODES)}


def calls():
    for path in Path("delivery").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield node


def code_in(call):
    return next(
        (word.value.value for word in call.keywords if word.arg == "code" and isinstance(word.value, ast.Constant)),
        None,
    )


def raised():
    """Each pair of code and status that the package names."""
    for call in calls():
        kind = RAISING.get(getattr(call.func, "id", getattr(call.func, "attr", "")))
        if kind and kind is not errors.AppError:
            yield code_in(call) or kind.code, kind.status.value
    yield errors.AppError.code, errors.AppError.status.value
    yield from ((status.name.lower(), status.value) for status in TRANSLATED)
    yield from ((code, status.value) for status, code, _ in web_worker._ANSWERS.values())


def by_nginx():
    found = re.search(r"(?s)map \$status \$delivery_problem \{(.*?)\}", Path("nginx/parts/problems.conf").read_text())
    return {code: int(status) for status, code in re.findall(r"(\d{3}) (\w+);", found[1])}


def test_every_code_that_the_source_answers_is_explained():
    assert dict(raised()) | by_nginx() == TOLD


def test_every_code_that_is_named_anywhere_was_found():
    """Whatever makes an error: a `code=` in the source is a problem's, a field's, or a filter of messages."""
    named = {code_in(call) for call in calls()} - {None}
    assert named <= TOLD.keys() | {code for code, _ in rows(FIELDS)}


def test_a_code_has_one_status_and_one_row():
    pairs = set(raised())
    assert len({code for code, _ in pairs}) == len(pairs)
    listed = [code for code, _ in rows(CODES)]
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("code", sorted(TOLD))
def test_a_code_comes_with_its_cause_and_what_to_do(code):
    cells = next(cells for name, cells in rows(CODES) if name == code)
    assert len(cells) == 4
    assert all(cells)


def of_files():
    """What imports call what is wrong with a file, a row or themselves: named, or the argument at this place."""
    places = {"Unreadable": None, "_error": None, "BadCell": None, "BadTime": 0, "give_up": 1}
    for call in calls():
        name = getattr(call.func, "id", "")
        if name in places:
            yield code_in(call)
            if places[name] is not None and isinstance(argument := call.args[places[name]], ast.Constant):
                yield argument.value


def test_every_code_of_a_field_or_a_file_is_explained():
    given = {code_in(call) for call in calls() if getattr(call.func, "id", "") in {"invalid_field", "invalid_fields"}}
    named = (given | set(of_files())) - {None}
    assert {code for code, _ in rows(FIELDS)} == set(schema._CODES.values()) | {"invalid"} | named
