"""What a password hash costs, and whom it lets in."""

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from config import Config
from delivery.app import create_app
from delivery.users import passwords
from tests.conftest import close


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
