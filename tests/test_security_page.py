"""docs/security.md names tests that exist: a promise whose test is gone is none."""

import ast
import re
from pathlib import Path

import pytest

ROWS = [
    row.rsplit("|", 2)[1]
    for row in Path("docs/security.md").read_text().partition("## Who may do what")[0].splitlines()
    if row.startswith("| ") and not row.startswith("| Promise")
]


def named(row):
    """The files and tests that a row names: `file.py: test, test; file.py`."""
    for part in row.split(";"):
        [file] = re.findall(r"[\w/]+\.py", part)
        yield Path("tests") / file, re.findall(r"`(\w+)`", part)


def functions_of(path):
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_the_page_has_promises():
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS)
def test_each_promise_is_held_by_tests_that_exist(row):
    for path, names in named(row):
        assert path.exists(), path
        assert set(names) <= functions_of(path), path
