"""Every command and snippet of docs/api/, docs/api.md and the client's README works, and prints what they show."""

import itertools
import json
import os
import re
import shutil
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from delivery.webhooks import signing
from tests.guides.pages import BLOCK, OUTPUTS, Reader, blocks_of, same, steady
from tests.servers.system import RunningSystem, free_port

ROOT = Path(__file__).parents[2]
QUICKSTART = Path("docs/api/quickstart.md")
PAGES = [Path("docs/api.md"), *sorted(Path("docs/api").glob("*.md")), Path("clients/python/README.md")]
# A whole system starts, and webhooks travel; a busy machine may take its time.
pytestmark = pytest.mark.timeout(180)
START = "WEBHOOK_ALLOW_LOOPBACK=true scripts/run\n"


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """The system as the first block of the quickstart starts it."""
    name, _, value = START.split(maxsplit=1)[0].partition("=")
    running = RunningSystem(tmp_path_factory.mktemp("quickstart"), **{name: value})
    running.wait_until_ready()
    yield running
    running.stop()


@pytest.fixture
def reader(system, tmp_path):
    """Somebody who has a clone, and has started the system."""
    shutil.copytree(ROOT / "clients" / "python", tmp_path / "clients" / "python")
    python = Path(sys.executable).parent
    environ = {
        "PATH": f"{python}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LIBRARIES": sysconfig.get_path("purelib"),
    }
    swapped = {
        "127.0.0.1:8000": f"127.0.0.1:{system.port}",
        "password=PASSWORD": f"password={system.admin_password}",
        "9000": str(free_port()),
        "shop@example.com": f"shop-{next(_numbers)}@example.com",  # each page begins with a new one
    }
    reader = Reader(tmp_path, environ=environ, swapped=swapped)
    yield reader
    reader.close()


def test_the_quickstart_begins_with_the_command_that_was_run_here():
    assert next(blocks_of(QUICKSTART)).text == START


def test_the_quickstart_leads_to_a_verified_webhook(reader):
    _, *blocks = blocks_of(QUICKSTART)
    for block in blocks:
        reader.do(block, QUICKSTART)


@pytest.mark.parametrize("page", [page for page in PAGES if page != QUICKSTART], ids=str)
def test_what_a_page_says_works(reader, page):
    """Its reader has followed the quickstart as far as to have a key."""
    if any(True for _ in blocks_of(page)):
        signing_in = [
            block for block in blocks_of(QUICKSTART) if re.match(r"export (API|ADMIN|KEY)|curl .*/users ", block.text)
        ]
        for block in signing_in:
            reader.do(block, QUICKSTART)
        reader.follow(page)


def test_the_receiver_of_the_webhooks_page_answers_a_challenge_and_does_nothing_twice(reader, monkeypatch):
    page, secret = Path("docs/api/webhooks.md"), signing.new_secret()
    reader.run_python(next(block.text for block in blocks_of(page) if "def receive" in block.text))
    monkeypatch.setenv("SECRET", secret)

    def send(kind, data, webhook_id):
        body = json.dumps({"type": kind, "timestamp": "", "data": data})
        signed = signing.headers(webhook_id, body, at=int(time.time()), keys=[secret])
        return reader.names["receive"](body.encode(), signed)

    assert send("endpoint.verify", {"challenge": "abc"}, "1") == (200, {"challenge": "abc"})
    assert [send("delivery.delivered", {}, "2") for _ in range(2)] == [(200, {})] * 2
    assert reader.names["seen"] == {"2"}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_has_no_block_that_nobody_tries(page):
    text = page.read_text()
    assert {kind for kind, _ in BLOCK.findall(text)} <= {"sh", "python"} | OUTPUTS
    assert text.count("```") == 2 * len(BLOCK.findall(text))


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "...": ""}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": "x"}, {"a": "y"}, False),
        ({"a": True}, {"a": 1}, False),
        ([{"a": 1}], [], False),
        ({"at": "2026-11-26T20:43:56.688942Z"}, {"at": "2030-01-01T00:00:00Z"}, True),
        ({"at": "2026-11-26T20:43:56.688942Z"}, {"at": None}, False),
        ({"secret": "whsec_" + "a" * 44}, {"secret": "dms_live_" + "a" * 49}, False),
    ],
)
def test_an_answer_that_is_not_the_one_shown_is_found_out(shown, printed, equal):
    assert same(shown, printed) is equal


def test_a_status_is_no_number_that_varies():
    assert steady("409 picked_up") == "409 picked_up"
