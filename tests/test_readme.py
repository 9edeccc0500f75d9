"""The papers lead somewhere: every relative link in them is a file of this repository."""

import re
from pathlib import Path

import pytest

PAPERS = [Path("README.md"), Path("clients/python/README.md"), *sorted(Path("docs").rglob("*.md"))]


@pytest.mark.parametrize("paper", PAPERS, ids=str)
def test_every_relative_link_leads_somewhere(paper):
    links = re.findall(r"\]\(([^)#\s]+)", paper.read_text())
    assert [link for link in links if "://" not in link and not (paper.parent / link).exists()] == []
