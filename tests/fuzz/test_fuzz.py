"""Schemathesis finds nothing, in a short run on each database: a few requests an operation, the same in every run.

`scripts/fuzz` is the long run, as each role by itself. What it finds is a mistake of the app or of the document; a new
endpoint needs nothing here, unless an id in its path is of a kind that hooks.py does not know yet.
"""

import pytest

from tests.fuzz import server
from tests.fuzz.campaign import run
from tests.fuzz.server import DATABASES, served

# By chance is scripts/fuzz's business: what comes and goes here would stop somebody else's work.
THE_SAME = ("--generation-deterministic",)


@pytest.mark.no_cover  # another process answers
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", DATABASES)
def test_nothing_is_found_in_a_few_requests(kind):
    with served(kind) as (address, environ):
        outcome = run(address, environ, role="mixed", seed=1, examples=1, phases="examples,fuzzing", more=THE_SAME)
    assert outcome.code == 0, f"{outcome.text}\n{server.LOGGED}"
    assert outcome.cases > 150
