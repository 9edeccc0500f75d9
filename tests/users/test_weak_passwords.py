"""Passwords that are tried first are refused wherever one is set; any other, in any script, signs in."""

import unicodedata
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delivery.users import weaknesses
from tests.auth.links import PASSWORD
from tests.auth.signing_in import login
from tests.commands import run
from tests.web.answers import wrong
from tests.web.elsewhere import elsewhere

ADA = {"name": "Ada T. O'Neil-Shop", "email": "ada.lovely@shop.example"}
WEAK = {
    "common": ["counterstrike", "1q2w3e4r5t6y", "CounterStrike", "\uff43ounterstrike"],  # with a wide letter
    "common, and something added": [
        "password1234",
        "Password!!!!",
        "baseball_1999",
        "iloveyou 123456789",
        "letmein12345!",
        "Summer2026!!!!",
        "dragon123456",
    ],
    "one unit again and again": ["a" * 12, "abcabcabcabc", "xy" * 64, "passwordpassword", "abcabcabcabca", " " * 12],
    "one unit again, and something added": ["adminadminadmin1", "password password1", "admin1234admin"],
    "one unit in two cases": ["abcABCabcABC"],
    "a sequence": ["123456789012", "abcdefghijkl", "qwertyuiopas", "098765432109", "zyxwvutsrqpo", "qwerty123456"],
    "sequences": ["abcd1234efgh", "111122223333", "aaaaaaaaaaab", "qwertzuiopas", "asdfghjkl123"],
    "one's own words": ["ada.lovely@shop.example", "AdaONeil2026!", "lovely.shop.1", "Shop-Example-42", "adaadaoneil1"],
    "one's own words and an initial": ["AdaTONeilShop1"],
    "ours": ["Delivery2026!", "1234 delivery", "delivery.ada"],
}


@pytest.mark.parametrize("kind", WEAK)
def test_what_is_tried_first_is_refused(client, people, kind):
    admin = people.admin()
    for password in WEAK[kind]:
        body = {**ADA, "password": password}
        for who in (client, admin):
            assert wrong(who.post("/api/users", json=body, **elsewhere())) == {"/password": "invalid"}, password


def test_a_weak_password_is_refused_at_the_command_line(app):
    for password in ("password1234", "ada.lovely@shop.example"):
        admin = run(app, "users", "create-admin", "--email", ADA["email"], "--password", password)
        assert (admin.exit_code, "several unrelated words" in admin.stderr) == (1, True)
    seeded = run(app, "users", "seed", "--count", 1, "--password", "password1234")
    assert (seeded.exit_code, "tried first" in seeded.stderr) == (1, True)


def test_what_a_password_contains_does_not_matter(client):
    """NIST SP 800-63B-4: the whole of it is compared, so that a phrase may well name its owner."""
    good = [
        "Ada likes old bicycles",
        "not the password",
        "delivery of 12 horses",
        "my 123456 oxen",
        "xcounterstrike",
        "dragon 8417 7552 2319",
    ]
    for password in good:
        response = client.post("/api/users", json={**ADA, "password": password}, **elsewhere())
        assert response.status_code == 202, password


def test_the_companys_name_is_the_one_that_the_settings_give(make_app):
    client = make_app(COMPANY_NAME="Blue Bicycle Couriers").test_client()
    response = client.post("/api/users", json={**ADA, "password": "bluebicycle1"})
    assert wrong(response) == {"/password": "invalid"}


def test_a_password_is_as_long_as_its_normal_form(client):
    """However many keys it took: twelve to 128 characters after NFKC."""
    longest = ("ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖ" * 7)[:128]
    typed = unicodedata.normalize("NFD", longest)
    assert len(typed) > 200
    body = {**ADA, "password": typed}
    assert client.post("/api/users", json=body, **elsewhere()).status_code == 202
    assert login(client, ADA["email"], longest, **elsewhere()).status_code == 200
    for password in (longest + "x", unicodedata.normalize("NFD", longest + "x"), "\ufdfa" * 12, "x y z" * 200):
        answers = [
            client.post("/api/users", json={**ADA, "password": password}, **elsewhere()),
            login(client, ADA["email"], password, **elsewhere()),
        ]
        assert [wrong(answer) for answer in answers] == 2 * [{"/password": "invalid"}]


def test_hostile_passwords_are_told_apart(client):
    """7, 14 and 129 characters, a megabyte, spaces, emoji, U+0000."""
    answers = {
        "a" * 7: 422, "fourteen of it": 202, "so long " * 16 + "!": 422, "m" * 1_000_000: 422, "x y" * 500_000: 413,
        "in spite of spaces": 202,
        "\U0001f40e\U0001f346 staples \U0001f9ca": 202, "with a \0 in it, alas": 422,
    }  # fmt: skip
    for number, (password, status) in enumerate(answers.items()):
        body = {**ADA, "email": f"user{number}@x.example", "password": password}
        response = client.post("/api/users", json=body, **elsewhere())
        assert response.status_code == status, ascii(password)[:80]


def test_any_text_that_is_not_refused_signs_in_however_it_is_typed(client):
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    numbers = iter(range(10_000))

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(password=st.text(characters, min_size=12, max_size=128))
    def holds(password):
        email = f"user{next(numbers)}@x.example"
        body = {"name": "Ada", "email": email, "password": password}
        response = client.post("/api/users", json=body, **elsewhere())
        if response.status_code != 202:
            assert wrong(response) == {"/password": "invalid"}
            return
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            typed = unicodedata.normalize(form, password)
            assert login(client, email, typed, **elsewhere()).status_code == 200, ascii(typed)
        assert login(client, email, password + "x", **elsewhere()).status_code in {401, 422}

    holds()


def test_the_list_ships_with_its_source_and_licence():
    text = files("delivery.users").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    head, _, passwords = text.partition("\n\n")
    assert "zxcvbn" in head
    assert "MIT License" in head
    listed = passwords.split("\n")[:-1]
    assert len(listed) > 10_000
    assert listed == sorted(set(listed))
    assert all(len(password) >= (5 if password.isalpha() else 8) for password in listed)
    assert all(weaknesses._folded(password) == password for password in listed)


def test_the_list_is_read_once_and_only_when_it_is_needed(app, client, monkeypatch):
    weaknesses._common_passwords.cache_clear()
    client.get("/healthz")
    assert weaknesses._common_passwords.cache_info().currsize == 0
    for number in range(3):
        client.post("/api/users", json={"name": "A", "email": f"a{number}@x.example", "password": PASSWORD})
    assert weaknesses._common_passwords.cache_info().misses == 1
