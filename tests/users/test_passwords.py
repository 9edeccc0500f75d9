"""What a password hash costs, and whom it lets in."""

import os
from collections import Counter
from threading import Event, Thread

import psutil
import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from config import Config
from delivery.app import create_app
from delivery.users import passwords
from tests.auth.signing_in import login
from tests.conftest import close
from tests.web.answers import problem
from tests.web.elsewhere import elsewhere
from tests.web.racing import race


@pytest.fixture
def costly(tmp_path):
    """An app at the costs that stand in config.py, not at those of the tests."""
    app = create_app(Config(environ={"DATA_DIR": str(tmp_path)}))
    with app.app_context():
        yield app
    close(app)


def test_hashes_are_argon2id_at_owasps_least(costly):
    found = extract_parameters(passwords.hash_password("correct horse battery"))

    assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (Type.ID, 19456, 2, 1)
    assert found.salt_len >= 16


@pytest.mark.parametrize("kept", [None, ""])
def test_nobody_has_a_password_without_a_hash(app, kept):
    with app.app_context():
        for guess in ("", "nobody's password", "correct horse battery"):
            assert not passwords.matches(kept, guess)


def test_a_password_is_the_same_however_it_was_typed(app):
    """NIST SP 800-63B-4: normalised, so that a keyboard that composes letters and one that does not agree."""
    with app.app_context():
        kept = passwords.hash_password("cafe\u0301 cafe\u0301 cafe\u0301")
        assert passwords.matches(kept, "caf\u00e9 caf\u00e9 caf\u00e9")
        assert not passwords.matches(kept, "cafe cafe cafe")


@pytest.fixture
def memory():
    """Watch how much memory this process has, and return by how much it grew at most, in MiB."""
    process, stop, seen = psutil.Process(), Event(), []
    before = process.memory_info().rss

    def watch():
        while not stop.wait(0.002):
            seen.append(process.memory_info().rss)

    thread = Thread(target=watch)
    thread.start()
    yield lambda: (max(seen) - before) / 2**20
    stop.set()
    thread.join()


def test_many_sign_ins_at_once_take_the_memory_of_one_and_the_late_ones_are_told_to_come_again(
    make_app, memory, monkeypatch
):
    """Sixteen hashes of 64 MiB at once would be a gigabyte."""
    app = make_app(ARGON2_MEMORY_KIB=65536, ARGON2_TIME_COST=2)
    with app.app_context():
        passwords._thread(os.getpid()).submit(passwords._hasher().hash, "x").result()  # its thread keeps the block
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0.25)
    attempts = [
        lambda n=n: login(app.test_client(), f"user{n}@x.example", "not the password", **elsewhere()) for n in range(16)
    ]
    answers = race(*attempts)

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {401, 503}, statuses
    for late in (answer for answer in answers if answer.status_code == 503):
        problem(late, 503, "unavailable")
        assert late.headers["Retry-After"] == "2"
    assert memory() < 3 * 64
