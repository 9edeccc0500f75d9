"""The pages that links lead to, as a browser without JavaScript sees them."""

import re

import pytest

from delivery.auth.schemas import LONGEST_TOKEN
from delivery.tokens import Purpose
from tests.auth.keys import key_of, works
from tests.auth.links import NONCES, link_token, register
from tests.web.answers import problem
from tests.web.elsewhere import elsewhere

ADDRESS, NEW = "ada@shop.example", "another fine phrase"
PAGES = {
    Purpose.VERIFY_EMAIL: "verify-email",
    Purpose.RESET_PASSWORD: "reset-password",
    Purpose.CHANGE_EMAIL: "confirm-email",
}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(autouse=True)
def ada(client):
    register(client, ADDRESS)


def look(client, purpose, token, **options):
    return client.get(f"/api/auth/{PAGES[purpose]}", query_string={"token": token}, headers=BROWSER, **options)


def submit(client, purpose, token, **fields):
    """Fill in the form and press the button."""
    if purpose is Purpose.RESET_PASSWORD:
        fields = {"password": NEW, **fields}
    return client.post(f"/api/auth/{PAGES[purpose]}", data={"token": token, **fields}, headers=BROWSER, **elsewhere())


def is_sound(page):
    """What every page must have, however it came about."""
    assert page.mimetype == "text/html"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = page.text
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert not re.search(r"<script|style=|\son\w+=|http://|https://|\{\{|None", text)
    assert len(re.findall("<h1>", text)) == 1
    assert re.search(r"<title>[^<]+ \u2013 Delivery</title>", text)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'<label for="([^"]+)"', text)) == set(
        re.findall(r'<input type="(?:password|checkbox)" id="([^"]+)"', text)
    )
    for described in re.findall(r'aria-describedby="([^"]+)"', text):
        assert set(described.split()) <= set(ids)
    return text


@pytest.mark.parametrize("purpose", PAGES)
def test_from_the_link_to_the_thanks(app, client, purpose):
    token = link_token(app, ADDRESS, purpose)
    for method in ("GET", "HEAD", "GET"):
        page = client.open(f"/api/auth/{PAGES[purpose]}?token={token}&utm_source=x", method=method, headers=BROWSER)
        assert page.status_code == 200
    text = is_sound(page)
    assert re.search(r'name="token" value="([^"]+)"', text)[1] == token
    action = re.search(r'<form method="post" action="([^"]+)"', text)[1]
    assert action == f"/api/auth/{PAGES[purpose]}"
    done = submit(client, purpose, token)
    assert done.status_code == 200, done.text
    assert 'role="status"' in is_sound(done)
    assert "<form" not in done.text


@pytest.mark.parametrize("purpose", PAGES)
def test_a_dead_link_is_a_page_with_a_way_on(app, client, purpose):
    token = link_token(app, ADDRESS, purpose)
    assert submit(client, purpose, token).status_code == 200
    for dead in (token, token[:-3], "x", "", "x" * LONGEST_TOKEN):
        page = submit(client, purpose, dead)
        assert page.status_code == 400
        text = is_sound(page)
        assert 'role="alert"' in text
        assert "<form" not in text
        assert "another link" in text or "again" in text


@pytest.mark.parametrize("purpose", PAGES)
def test_a_program_gets_problems_and_no_pages(app, client, purpose):
    more = {"password": NEW} if purpose is Purpose.RESET_PASSWORD else {}
    path = f"/api/auth/{PAGES[purpose]}"
    problem(client.post(path, json={"token": "x", **more}, headers=BROWSER, **elsewhere()), 400, "invalid_token")
    problem(client.get(path), 422)
    done = client.post(path, json={"token": link_token(app, ADDRESS, purpose), **more}, headers=BROWSER, **elsewhere())
    assert (done.status_code, done.data) == (204, b"")


@pytest.mark.parametrize("purpose", PAGES)
def test_a_link_that_a_mail_program_broke_is_a_page_too(client, purpose):
    for query in ("", "?tok", "?token=%00"):
        page = client.get(f"/api/auth/{PAGES[purpose]}{query}", headers=BROWSER)
        assert page.status_code == 422
        assert 'role="alert"' in is_sound(page)


def test_a_weak_password_brings_the_form_back_and_says_why(app, client):
    token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)
    weak = {
        "short": "at least 12",
        "password1234": "tried first",
        "abcabcabcabc": "pattern",
        "x y" * 200: "128",
        "": "at least",
        "nul \0 in the middle": "U+0000",
    }
    for password, why in weak.items():
        page = submit(client, Purpose.RESET_PASSWORD, token, password=password)
        assert page.status_code == 422
        text = is_sound(page)
        assert why in re.search(r'role="alert" id="error">([^<]+)<', text)[1], password
        assert 'aria-invalid="true"' in text
        assert 'aria-describedby="error hint"' in text
        assert "<title>Error: " in text
        assert re.search(r'name="token" value="([^"]+)"', text)[1] == token
        assert 'autocomplete="new-password"' in text
        assert 'minlength="12"' in text
        assert not password or f'"{password}"' not in text, "what was typed does not come back"
    assert submit(client, Purpose.RESET_PASSWORD, token).status_code == 200


def test_the_box_that_ends_keys_is_ticked_and_stays_as_it_was_left(app, client):
    token = link_token(app, ADDRESS, Purpose.RESET_PASSWORD)

    def box(page):
        return re.search(r'<input type="checkbox"[^>]* name="revoke_api_keys" value="true"[^>]*>', page)[0]

    assert " checked" in box(is_sound(look(client, Purpose.RESET_PASSWORD, token)))
    for fields, ticked in (({"revoke_api_keys": "true"}, True), ({}, False)):
        again = is_sound(submit(client, Purpose.RESET_PASSWORD, token, password="short", **fields))
        assert (" checked" in box(again)) is ticked


@pytest.mark.parametrize(("fields", "alive"), [({"revoke_api_keys": "true"}, False), ({}, True)])
def test_the_box_ends_keys(app, client, people, fields, alive):
    key = key_of(people.customer(email="grace@shop.example"))
    token = link_token(app, "grace@shop.example", Purpose.RESET_PASSWORD)
    refused = submit(client, Purpose.RESET_PASSWORD, token, revoke_api_keys="yes")
    assert refused.status_code == 422
    is_sound(refused)
    assert submit(client, Purpose.RESET_PASSWORD, token, **fields).status_code == 200
    assert works(key) is alive


def test_too_many_tries_bring_the_form_back_with_when(app, client, travel):
    token, one = link_token(app, ADDRESS, Purpose.RESET_PASSWORD), elsewhere()
    for _ in range(11):
        page = client.post("/api/auth/reset-password", data={"token": token, "password": "short"}, **one)
    assert page.status_code == 429
    assert int(page.headers["Retry-After"]) > 0
    text = is_sound(page)
    assert token in text
    assert '<p class="error" role="alert" id="error">Too many attempts. Try again in 10 minutes.</p>' in text
    travel(minutes=9, seconds=30)
    page = client.post("/api/auth/reset-password", data={"token": token, "password": "short"}, **one)
    assert "Try again in 1 minute." in is_sound(page)


@pytest.mark.parametrize("purpose", NONCES)
def test_whatever_a_link_holds_stays_text(client, purpose):
    evil = '"><script>alert(1)</script>'
    for page in (
        look(client, purpose, evil),
        submit(client, purpose, evil),
        submit(client, purpose, evil, password=evil),
    ):
        assert "<script" not in page.text


def test_the_style_is_ours_and_comes_from_here(app, client):
    href = re.search(r'<link rel="stylesheet" href="([^"]+)"', look(client, Purpose.RESET_PASSWORD, "x").text)[1]
    style = client.get(href)
    assert (style.status_code, style.mimetype) == (200, "text/css")
    assert "http" not in style.text
    style.close()
