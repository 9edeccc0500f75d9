"""Every letter, word for word.

After a change of words run this file once with UPDATE_LETTERS=1 and read what changed in letters/.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from delivery import subscriptions
from delivery.deliveries.states import State
from delivery.notifications import rendering
from delivery.notifications.proofreading import mistakes
from delivery.notifications.rendering import OURS, Wording, letter
from delivery.notifications.samples import OPTIONAL, SAMPLES
from delivery.users.states import Role

LETTERS = Path(__file__).parent / "letters"
# GSM 03.38's basic character set: with any other character a text message has room for 70, not 160.
GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
ABOUT_DELIVERIES = sorted(name for name, sample in SAMPLES.items() if "delivery" in sample)
ABOUT_ACCOUNTS = sorted(set(SAMPLES) - {*ABOUT_DELIVERIES})
BY_SMS = ["created", "out_for_delivery", "delivered", "attempt_failed", "moved", "updated"]
LOCALES = ["de", "en", "fr"]
in_each_locale = pytest.mark.parametrize("locale", LOCALES)
# What a sender typed, to be escaped where it must be; and no link, as most letters have none yet.
TYPED = {"item_name": "Blue bicycle <3", "reference": "ORDER-1"}
NAMES = {
    "sender_name": "Ada O'Neil",
    "recipient_name": "Grace <Doorstep>",
    "public_note": "Rang twice.\nGate locked.",
    "name": "Ada O'Neil",
    "key_name": "Shop <3",
    "link": "https://delivery.example/api/auth/verify-email?token=abc.def-ghi&x=1",
}


def delivery(**changes):
    return SAMPLES["created"]["delivery"]._replace(**{**TYPED, **changes})


def context(template, audience="recipient", **changes):
    given = {name: value for name, value in {**SAMPLES[template], **NAMES}.items() if name in SAMPLES[template]}
    given |= {"audience": audience, "delivery": delivery()} if "delivery" in given else {}
    given = {name: value for name, value in given.items() if name not in OPTIONAL}
    return {**given, **changes}


def write(template, audience="recipient", channel="mail", locale="en", time_zone=None, **changes):
    given = context(template, audience, **changes)
    return letter(template, locale=locale, channel=channel, address="a@b.example", context=given, time_zone=time_zone)


def as_file(made):
    return f"Subject: {made.subject}\n\n{made.text}\n{'=' * 72}\n{made.html}\n" if made.subject else f"{made.text}\n"


def compare(name, words):
    path = LETTERS / name
    if os.environ.get("UPDATE_LETTERS"):
        path.write_text(words)
    assert words == path.read_text()


@in_each_locale
@pytest.mark.parametrize("audience", ["sender", "recipient"])
@pytest.mark.parametrize("template", ABOUT_DELIVERIES)
def test_mails_about_deliveries(template, audience, locale):
    compare(f"{locale}/{template}.{audience}.mail.txt", as_file(write(template, audience, locale=locale)))


@in_each_locale
@pytest.mark.parametrize("template", ABOUT_ACCOUNTS)
def test_mails_about_accounts(template, locale):
    compare(f"{locale}/{template}.mail.txt", as_file(write(template, locale=locale)))


@in_each_locale
def test_a_mail_with_all_that_it_may_have(locale):
    sample = SAMPLES["created"]
    links = {name: sample[name] for name in OPTIONAL}
    made = write("created", "sender", locale=locale, time_zone="Europe/Berlin", **links)
    compare(f"{locale}/created.whole.mail.txt", as_file(made))
    for link in links.values():
        assert link in made.text
        assert f'href="{link}"' in made.html


@in_each_locale
def test_a_mail_to_an_address_that_nobody_confirmed_names_nobody(locale):
    made = write("already_registered", locale=locale, name="")
    compare(f"{locale}/already_registered.unverified.mail.txt", as_file(made))


@pytest.mark.parametrize(
    ("locale", "one", "many", "none"),
    [
        ("en", "One API key of the account still works", "2 API keys of the account still work", "API key"),
        ("de", "Ein API-Schlüssel des Kontos gilt weiterhin", "2 API-Schlüssel des Kontos gelten", "API-Schlüssel"),
        ("fr", "API du compte reste valable", "API du compte restent valables", "API"),
    ],
)
def test_a_new_password_speaks_of_keys_where_there_are_any(locale, one, many, none):
    for keys, words in ((1, one), (2, many)):
        made = write("password_changed", locale=locale, keys=keys)
        assert words in made.text
        assert words in made.html
    made = write("password_changed", locale=locale, keys=0)
    assert none not in made.text + made.html


@in_each_locale
@pytest.mark.parametrize("template", BY_SMS)
def test_text_messages(template, locale):
    link = "https://delivery.example/track/7K3M9XW2QF4TB"
    made = write(template, channel="sms", locale=locale, tracking_url=link)
    compare(f"{locale}/{template}.sms.txt", as_file(made))
    assert len(made.text) <= 160
    assert set(made.text) <= GSM


def test_no_letter_is_left_over():
    used = {f"{one}.{who}.mail.txt" for one in ABOUT_DELIVERIES for who in ("sender", "recipient")}
    used |= {f"{one}.mail.txt" for one in ABOUT_ACCOUNTS} | {f"{one}.sms.txt" for one in BY_SMS}
    used |= {"already_registered.unverified.mail.txt", "created.whole.mail.txt"}
    assert {str(path.relative_to(LETTERS)) for path in LETTERS.rglob("*.*")} == {
        f"{locale}/{name}" for name in used for locale in LOCALES
    }


def test_everything_that_is_told_has_words():
    assert set(subscriptions.COMPOSERS) - {"webhook"} <= set(SAMPLES)


def parts(locale, name):
    """The blocks and the variables of a template, those of a delivery by their own names."""
    environment = rendering.wording().ours.text
    tree = environment.parse((OURS / locale / name).read_text())
    fields = {f"delivery.{it.attr}" for it in tree.find_all(nodes.Getattr) if it.node == nodes.Name("delivery", "load")}
    return sorted(it.name for it in tree.find_all(nodes.Block)), find_undeclared_variables(tree) | fields


@pytest.mark.parametrize("locale", sorted({*LOCALES} - {"en"}))
def test_every_locale_has_every_template_block_and_variable_of_the_english_one(locale):
    names = {path.name for path in (OURS / "en").iterdir()}
    assert {path.name for path in (OURS / locale).iterdir()} == names
    for name in names:
        assert parts(locale, name) == parts("en", name), name


def test_the_built_in_locales_are_known_and_sound():
    ours = Wording()
    assert sorted(ours.ours.locales.values()) == LOCALES
    assert {name for locale in LOCALES for name in ours.ours.names(locale)} == {
        *(f"{name}.mail" for name in SAMPLES), *(f"{name}.sms" for name in BY_SMS)
    }  # fmt: skip
    assert mistakes(ours) == []


@in_each_locale
@pytest.mark.parametrize("template", sorted({*SAMPLES} - {"verify_email"}))  # it names nobody
def test_names_are_escaped_in_html_and_plain_in_text(template, locale):
    evil = "<script>alert(1)</script>"
    changes = dict.fromkeys(("recipient_name", "sender_name", "name", "key_name", "public_note"), evil)
    changes |= {"delivery": delivery(item_name=evil)} if template in ABOUT_DELIVERIES else {}
    made = write(template, locale=locale, **changes)
    assert evil not in made.html
    assert "&lt;script&gt;" in made.html
    assert "&lt;" not in made.text
    assert evil in made.text


@in_each_locale
@pytest.mark.parametrize("template", sorted(SAMPLES))
def test_a_letter_is_sound(template, locale):
    for audience in ("sender", "recipient"):
        made = write(template, audience, locale=locale)
        assert 0 < len(made.subject) < 70
        assert not re.search(r"[{}%]|None|\n\n\n|[ \t]\n(?<!\n-- \n)", made.text)
        assert made.html.startswith(f'<!doctype html>\n<html lang="{locale}">')
        assert made.html.count("<table") == made.html.count("</table>")
        assert made.html.count("<p") == made.html.count("</p>")
        assert not re.search(r"<p[^>]*>\s*(?=<p|</p>)", made.html)
        assert len(made.html) < 6000


def test_french_has_its_spaces_and_german_its_quotes():
    for path in (OURS / "fr").glob("*.mail.txt"):
        text = path.read_text()
        assert not re.search(
            r"(?<=\w) ?[:;?!](?=\s)|« | »|'(?=\w)", re.sub(r"{[%{].*?[%}]}", "", text, flags=re.DOTALL)
        )
    for path in (OURS / "de").glob("*.mail.txt"):
        assert path.read_text().count("„") == path.read_text().count("“")


def test_no_name_of_a_thing_begins_a_header():
    made = write("created", delivery=delivery(tracking_number="1\r\nBcc: eve@evil.example\r\n\r\nbody"))
    assert "\n" not in made.subject
    assert "\r" not in made.subject


def test_what_a_template_lacks_is_an_error_and_not_a_gap():
    with pytest.raises(jinja2.UndefinedError):
        letter("created", locale="en", channel="mail", address="a@b.example", context={"audience": "sender"})
    with pytest.raises(jinja2.TemplateNotFound):
        letter("nothing", locale="en", channel="mail", address="a@b.example", context={})


@pytest.mark.parametrize("locale", ["it", "pt-BR", "../../etc", "_layout", "", None])
def test_a_language_that_we_do_not_have_is_english(locale):
    assert write("delivered", locale=locale) == write("delivered")


@pytest.mark.parametrize(("tag", "locale"), [("de-AT", "de"), ("fr-CA", "fr"), ("DE", "de"), ("de-x", "de")])
def test_the_nearest_language_is_taken(tag, locale):
    made = write("delivered", locale=tag)
    assert made.text == write("delivered", locale=locale).text
    assert f'lang="{locale}"' in made.html


def test_the_companys_language_comes_before_english():
    wording = Wording(locale="de-CH")
    given = {**context("delivered"), "time_zone": "UTC"}
    assert wording.words("delivered", "mail", "pt", given).subject.startswith("Sendung")
    assert wording.words("delivered", "mail", None, given).subject.startswith("Sendung")
    assert wording.words("delivered", "mail", "fr-CA", given).subject.startswith("La livraison")


def test_a_mail_about_a_delivery_says_how_to_get_no_more():
    made = write("delivered", unsubscribe_url="https://delivery.example/unsubscribe/x.y.z")
    assert made.text.endswith("\nNo more mails like this one: https://delivery.example/unsubscribe/x.y.z\n")
    assert 'href="https://delivery.example/unsubscribe/x.y.z"' in made.html


def test_headers_go_with_the_letter():
    made = letter("created", locale="en", channel="mail", address="a", context=context("created"), headers={"X-A": "b"})
    assert made.headers == {"X-A": "b"}


@pytest.mark.parametrize(
    ("earliest", "latest", "words"),
    [
        ((24, 9, 0), (24, 11, 30), "Tuesday 24 November, 09:00 to 11:30 UTC"),
        ((24, 9, 0), (25, 11, 30), "Tuesday 24 November, 09:00 to Wednesday 25 November, 11:30 UTC"),
        (None, (24, 11, 30), "by Tuesday 24 November, 11:30 UTC"),
        ((3, 9, 5), None, "from Tuesday 3 November, 09:05 UTC"),
    ],
)
def test_a_window_reads_like_speech(earliest, latest, words):
    start, end = (None if one is None else datetime(2026, 11, *one, tzinfo=UTC) for one in (earliest, latest))
    made = write("created", delivery=delivery(window_earliest=start, window_latest=end))
    assert f"Expected: {words}\n" in made.text
    assert f"Expected: {words}\n" in made.html


def test_no_window_is_not_spoken_of():
    assert "Expected" not in write("created", delivery=delivery(window_earliest=None, window_latest=None)).text


@pytest.mark.parametrize(
    ("locale", "zone", "words"),
    [
        ("en", None, "Tuesday 24 November, 09:00 to 11:30 UTC"),
        ("en", "UTC", "Tuesday 24 November, 09:00 to 11:30 UTC"),
        ("en-US", "America/New_York", "Tuesday, November 24, 4:00\u202fAM to 6:30\u202fAM EST"),
        ("en", "Asia/Kolkata", "Tuesday 24 November, 14:30 to 17:00 UTC+05:30"),
        ("en", "Pacific/Auckland", "Tuesday 24 November, 22:00 to Wednesday 25 November, 00:30"),
        ("de", "Europe/Berlin", "Dienstag, 24. November, 10:00 bis 12:30 Uhr (MEZ)"),
        ("fr", "UTC", "mardi 24 novembre, de 09:00 à 11:30 (UTC)"),
    ],
)
def test_times_are_the_readers_own(locale, zone, words):
    assert words in write("created", locale=locale, time_zone=zone).text


def test_austria_has_a_january_of_its_own():
    start = datetime(2027, 1, 5, 9, tzinfo=UTC)
    changed = delivery(window_earliest=start, window_latest=None)
    assert "ab Dienstag, 5. Jänner, 09:00 Uhr (UTC)" in write("created", locale="de-AT", delivery=changed).text


@pytest.mark.parametrize("state", [*State])
@in_each_locale
def test_every_state_has_words(state, locale):
    made = write("moved", locale=locale, delivery=delivery(status=state))
    assert "_" not in made.text
    assert made.subject


@pytest.mark.parametrize("role", [*Role])
@in_each_locale
def test_every_role_has_words(role, locale):
    assert write("invitation", locale=locale, role=role).text


def test_the_page_tells_every_template_block_and_variable():
    page = Path("docs/templates.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*`.*) \|$", page, re.MULTILINE))
    shown = {name: set(re.findall(r"`(\w+)`", rows.get(name, ""))) | {"company"} for name in SAMPLES}
    assert shown == {name: set(sample) for name, sample in SAMPLES.items()}
    assert set(re.findall(r"\(`(\w+)`\)", page)) == OPTIONAL
    fields = page.partition("`delivery` has:\n")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"`(\w+)`", fields)) == SAMPLES["created"]["delivery"]._fields
    blocks = {it for row in re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE) for it in re.findall(r"`(\w+)`", row)}
    names = {"en/_words.mail.txt", "_layout/mail.txt", "_layout/mail.html"}
    assert blocks - {*SAMPLES} == {block for name in names for block in parts("", name)[0]}


def test_the_examples_of_the_page_work(tmp_path):
    page = Path("docs/templates.md").read_text()
    text = re.search(r"(?m)^    ({% extends .*\n)    ({% block .*\n)", page)
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "created.mail.txt").write_text(text[1] + text[2])
    wording = Wording(folder=tmp_path)
    assert mistakes(wording) == []
    given = {**SAMPLES["created"], "time_zone": "UTC"}
    assert wording.words("created", "mail", "en", given).subject == "Swift & Sons: a parcel for Grace Mbeki"
