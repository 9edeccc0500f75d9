"""Every letter, word for word.

After a change of words run this file once with UPDATE_LETTERS=1 and read what changed in letters/.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest

from delivery import subscriptions
from delivery.notifications import rendering
from delivery.notifications.rendering import letter, window

LETTERS = Path(__file__).parent / "letters"
TEMPLATES = Path(rendering.__file__).parent / "templates"
# GSM 03.38's basic character set: with any other character a text message has room for 70, not 160.
GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
ABOUT_ACCOUNTS = [
    "verify_email", "already_registered", "session_revoked", "reset_password", "password_changed", "change_email",
    "email_changed", "invitation", "api_key_created",
]  # fmt: skip
ABOUT_DELIVERIES = sorted(
    {path.name.partition(".")[0] for path in TEMPLATES.glob("en/*") if not path.name.startswith("_")}
    - {*ABOUT_ACCOUNTS}
)


def delivery(**changes):
    given = {
        "tracking_number": "7K3M9XW2QF4TB",
        "item_name": "Blue bicycle <3",
        "reference": "ORDER-1",
        "status": "in_transit",
        "window_earliest": datetime(2026, 11, 24, 9, tzinfo=UTC),
        "window_latest": datetime(2026, 11, 24, 11, 30, tzinfo=UTC),
    }
    return SimpleNamespace(**{**given, **changes})


def context(audience="recipient", **changes):
    given = {
        "audience": audience,
        "company": "Swift & Sons",
        "delivery": delivery(),
        "sender_name": "Ada O'Neil",
        "recipient_name": "Grace <Doorstep>",
        "public_note": "Rang twice.\nGate locked.",
        "name": "Ada O'Neil",
        "role": "courier",
        "keys": 2,
        "key_name": "Shop <3",
        "hint": "dms_live_...x7Qd",
        "link": "https://delivery.example/api/auth/verify-email?token=abc.def-ghi&x=1",
    }
    return {**given, **changes}


def write(template, audience="recipient", channel="mail", **changes):
    return letter(template, locale="en", channel=channel, address="a@b.example", context=context(audience, **changes))


def as_file(made):
    return f"Subject: {made.subject}\n\n{made.text}\n{'=' * 72}\n{made.html}\n" if made.subject else f"{made.text}\n"


def compare(name, words):
    path = LETTERS / name
    if os.environ.get("UPDATE_LETTERS"):
        path.write_text(words)
    assert words == path.read_text()


@pytest.mark.parametrize("audience", ["sender", "recipient"])
@pytest.mark.parametrize("template", ABOUT_DELIVERIES)
def test_mails_about_deliveries(template, audience):
    compare(f"{template}.{audience}.mail.txt", as_file(write(template, audience)))


@pytest.mark.parametrize("template", ABOUT_ACCOUNTS)
def test_mails_about_accounts(template):
    compare(f"{template}.mail.txt", as_file(write(template)))


def test_a_mail_to_an_address_that_nobody_confirmed_names_nobody():
    compare("already_registered.unverified.mail.txt", as_file(write("already_registered", name="")))


@pytest.mark.parametrize(("keys", "words"), [(0, None), (1, "One API key of the account still works")])
def test_a_new_password_speaks_of_keys_where_there_are_any(keys, words):
    made = write("password_changed", keys=keys)
    for text in (made.text, made.html):
        assert words in text if words else "API key" not in text


@pytest.mark.parametrize("template", ["out_for_delivery", "delivered", "attempt_failed"])
def test_text_messages(template):
    made = write(template, channel="sms", tracking_url="https://delivery.example/track/7K3M9XW2QF4TB")
    compare(f"{template}.sms.txt", as_file(made))
    assert len(made.text) <= 160
    assert set(made.text) <= GSM


def test_no_letter_is_left_over():
    used = {f"{one}.{who}.mail.txt" for one in ABOUT_DELIVERIES for who in ("sender", "recipient")}
    used |= {f"{one}.mail.txt" for one in ABOUT_ACCOUNTS} | {path.name for path in TEMPLATES.glob("en/*.sms.txt")}
    assert {path.name for path in LETTERS.iterdir()} == used | {"already_registered.unverified.mail.txt"}


def test_everything_that_is_told_has_words():
    assert set(subscriptions.COMPOSERS) <= {*ABOUT_DELIVERIES, *ABOUT_ACCOUNTS}


@pytest.mark.parametrize("template", sorted({*ABOUT_DELIVERIES, *ABOUT_ACCOUNTS} - {"verify_email"}))  # it names nobody
def test_names_are_escaped_in_html_and_plain_in_text(template):
    evil = "<script>alert(1)</script>"
    made = write(template, recipient_name=evil, sender_name=evil, name=evil, delivery=delivery(item_name=evil))
    assert evil not in made.html
    assert "&lt;script&gt;" in made.html
    assert "&lt;" not in made.text


@pytest.mark.parametrize("template", [*ABOUT_DELIVERIES, *ABOUT_ACCOUNTS])
def test_a_letter_is_sound(template):
    for audience in ("sender", "recipient"):
        made = write(template, audience)
        assert 0 < len(made.subject) < 70
        assert not re.search(r"[{}%]|None|\n\n\n\n", made.text)
        assert made.html.startswith('<!doctype html>\n<html lang="en">')
        assert made.html.count("<table") == made.html.count("</table>")
        assert len(made.html) < 6000


def test_no_name_of_a_thing_begins_a_header():
    made = write("created", delivery=delivery(tracking_number="1\r\nBcc: eve@evil.example\r\n\r\nbody"))
    assert "\n" not in made.subject
    assert "\r" not in made.subject


def test_what_a_template_lacks_is_an_error_and_not_a_gap():
    with pytest.raises(jinja2.UndefinedError):
        letter("created", locale="en", channel="mail", address="a@b.example", context={"audience": "sender"})


@pytest.mark.parametrize("locale", ["de", "de-AT", "../../etc", "", None])
def test_a_language_that_we_do_not_have_is_english(locale):
    made = letter("delivered", locale=locale, channel="mail", address="a@b.example", context=context())
    assert made == write("delivered")


def test_headers_go_with_the_letter():
    made = letter("created", locale="en", channel="mail", address="a", context=context(), headers={"X-A": "b"})
    assert made.headers == {"X-A": "b"}


@pytest.mark.parametrize(
    ("earliest", "latest", "words"),
    [
        ((24, 9, 0), (24, 11, 30), "24 November, 09:00 to 11:30 UTC"),
        ((24, 9, 0), (25, 11, 30), "24 November, 09:00 to 25 November, 11:30 UTC"),
        (None, (24, 11, 30), "by 24 November, 11:30 UTC"),
        ((3, 9, 5), None, "from 3 November, 09:05 UTC"),
        (None, None, ""),
    ],
)
def test_a_window_reads_like_speech(earliest, latest, words):
    moments = (None if one is None else datetime(2026, 11, *one, tzinfo=UTC) for one in (earliest, latest))
    assert window(*moments) == words
