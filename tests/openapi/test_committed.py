"""The committed document is the app's own, and the next release breaks no client of the last one unnamed."""

import json

from tests.openapi.changes import breaking
from tests.openapi.write import COMMITTED, RELEASED

WRITE = "run `python -m tests.openapi.write`, and look at what it changes"
# What breaks clients on purpose, each with its reason; emptied by `python -m tests.openapi.write --release`.
ON_PURPOSE: dict[str, str] = {}


def test_the_committed_document_is_what_the_app_serves(client):
    served = client.get("/openapi.json")
    assert json.loads(COMMITTED.read_bytes()) == served.json, WRITE
    assert COMMITTED.read_bytes().strip() == served.data.strip(), WRITE


def test_nothing_breaks_the_clients_of_the_last_release():
    found = breaking(json.loads(RELEASED.read_bytes()), json.loads(COMMITTED.read_bytes()))
    assert sorted(found) == sorted(ON_PURPOSE), "name each of them in ON_PURPOSE, with its reason, or take it back"
