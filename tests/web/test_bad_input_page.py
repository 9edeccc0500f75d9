"""docs/bad_input.md names tests that there are."""

import re
from pathlib import Path

PAGE = Path("docs/bad_input.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 20
    for file, function in named:
        assert f"def {function}" in Path(file).read_text(encoding="utf-8"), f"{file}::{function}"
