"""An operator's own templates: they win, they extend ours, and a broken one costs nobody a message."""

import logging
import os

import pytest

from delivery.notifications.proofreading import mistakes
from delivery.notifications.rendering import Wording
from delivery.notifications.samples import SAMPLES
from tests.commands import run
from tests.notifications.conftest import on_sqlite


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "words"


@pytest.fixture
def put(folder):
    """Write a template into the operator's folder."""

    def write(name, text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return Wording(folder=folder)

    return write


def words(wording, template="created", locale="en", channel="mail", **changes):
    given = {**SAMPLES[template], "time_zone": wording.time_zone, **changes}
    return wording.words(template, channel, locale, given)


def whats(wording):
    return {(mistake.file, mistake.what) for mistake in mistakes(wording)}


OWN_SUBJECT = (
    '{% extends "builtin/en/created.mail.txt" %}{% block subject %}Parcel for {{ recipient_name }}{% endblock %}'
)


def test_a_block_of_the_operators_wins_and_the_rest_is_ours(put):
    wording = put("en/created.mail.txt", OWN_SUBJECT)
    made = words(wording)
    assert made.subject == "Parcel for Grace Mbeki"
    assert made.text == words(Wording()).text
    assert "<title>Parcel for Grace Mbeki</title>" in made.html
    assert words(wording, "delivered") == words(Wording(), "delivered")
    assert words(wording, locale="de") == words(Wording(), locale="de")
    assert mistakes(wording) == []


def test_own_words_common_to_all_letters_reach_those_that_are_ours(put):
    wording = put(
        "en/_words.mail.txt",
        '{% extends "builtin/en/_words.mail.txt" %}{% block footer %}Call us: 0800 1.{% endblock %}',
    )
    for template in SAMPLES:
        made = words(wording, template)
        assert made.text.count("Call us: 0800 1.") == 1
        assert "Call us: 0800 1." in made.html
        assert "machine" not in made.text


def test_an_own_layout_and_an_own_page_for_one_mail(put):
    put("_layout/mail.html", "<b>{{ subject }}</b>{% block news required %}{% endblock %}")
    wording = put("en/lost.mail.html", "<i>{{ delivery.item_name }}</i>")
    assert words(wording).html.startswith("<b>Delivery 7K3M9XW2QF4TB is coming to you</b>")
    assert words(wording, "lost", delivery=SAMPLES["lost"]["delivery"]._replace(item_name="<3")).html == "<i>&lt;3</i>"
    assert words(wording, "lost").text == words(Wording(), "lost").text
    assert mistakes(wording) == []


def test_a_text_message_of_ones_own(put):
    wording = put("de/delivered.sms.txt", "Paket {{ delivery.tracking_number }} ist da.\n")
    assert words(wording, "delivered", "de", "sms").text == "Paket 7K3M9XW2QF4TB ist da."
    assert words(wording, "delivered", "en", "sms") == words(Wording(), "delivered", "en", "sms")


def test_another_language(put):
    put("it/_words.mail.txt", '{% extends "builtin/en/_words.mail.txt" %}{% block greeting %}Buongiorno,{% endblock %}')
    wording = put(
        "it/created.mail.txt",
        '{% extends "it/_words.mail.txt" %}{% block subject %}In arrivo{% endblock %}'
        "{% block news %}Eccolo.{% endblock %}",
    )
    for locale in ("it", "it-CH"):
        made = words(wording, locale=locale)
        assert made.subject == "In arrivo"
        assert made.text.startswith("Buongiorno,\n\nEccolo.\n\nNote:")
        assert "martedì 24 novembre" in made.text
        assert '<html lang="it">' in made.html
    assert words(wording, "lost", "it") == words(Wording(), "lost", "en")
    assert mistakes(wording) == []


BROKEN = {
    "a syntax error": ("{% block subject %}", "line 1: Unexpected end of template"),
    "an unknown variable": (OWN_SUBJECT.replace("recipient_name", "recipient"), "'recipient' is undefined"),
    "an unknown field": (OWN_SUBJECT.replace("recipient_name", "delivery.price"), "no attribute 'price'"),
    "a missing block": ('{% extends "_layout/mail." ~ format %}', "Required block 'subject' not found"),
    "no subject": ("Hello\n", "its text has to be a subject, an empty line, and a body"),
    "a division": (OWN_SUBJECT.replace("recipient_name", "1 / 0"), "division by zero"),
    "a sum of words": (OWN_SUBJECT.replace("recipient_name", "'a' + 1"), "can only concatenate str"),
    "an unknown parent": ('{% extends "builtin/en/create.mail.txt" %}', "create.mail.txt"),
    "itself as parent": ('{% extends "en/created.mail.txt" %}', "recursion"),
    "a way out": (OWN_SUBJECT.replace("recipient_name", "().__class__.__base__.__subclasses__()"), "unsafe"),
    "a change": (OWN_SUBJECT.replace("recipient_name", "[].append(1)"), "append"),
    "a filter that is none": (OWN_SUBJECT.replace("recipient_name", "name|nofilter"), "No filter named 'nofilter'"),
}


@pytest.mark.parametrize(("text", "what"), BROKEN.values(), ids=BROKEN)
def test_a_broken_template_is_found_and_ours_is_sent(put, caplog, text, what):
    wording = put("en/created.mail.txt", text)
    found = whats(wording)
    assert {file for file, _ in found} == {"en/created.mail.txt"}
    assert any(what in told for _, told in found), found
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert words(wording) == words(Wording())
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "created.mail" in caplog.text


def test_what_is_put_into_a_broken_template_is_not_logged(put, caplog):
    wording = put("en/created.mail.txt", OWN_SUBJECT.replace("recipient_name", "recipient_name | int + recipient_name"))
    assert words(wording, recipient_name="Grace Secret") == words(Wording(), recipient_name="Grace Secret")
    assert "ERROR" in caplog.text
    assert "Grace" not in caplog.text


def test_a_variable_in_a_branch_that_is_seldom_taken_is_found(put):
    wording = put("en/created.mail.txt", OWN_SUBJECT.replace("Parcel", "{% if 0 %}{{ nonsense }}{% endif %}Parcel"))
    assert whats(wording) == {("en/created.mail.txt", "'nonsense' is undefined")}


@pytest.mark.parametrize(
    "name",
    ["en/create.mail.txt", "en/created.txt", "created.mail.txt", "en/created.mail.txt.bak", "en/a/created.mail.txt"],
)
def test_a_file_that_nobody_reads_is_found(put, name):
    assert whats(put(name, "Hello")) == {(name, "is the template of no message")}


@pytest.mark.parametrize("name", ["README.md", "en/.created.mail.txt.swp", ".git/config"])
def test_what_people_keep_beside_templates_is_no_mistake(put, name):
    assert whats(put(name, "Hello")) == set()


def test_a_file_that_is_no_text_is_found(put, folder):
    put("en/created.sms.txt", "")
    (folder / "en" / "delivered.sms.txt").write_bytes(b"\xff\xfe")
    wording = Wording(folder=folder)
    assert ("en/delivered.sms.txt", "cannot be read (UnicodeDecodeError)") in whats(wording)
    assert words(wording, "delivered", channel="sms") == words(Wording(), "delivered", channel="sms")


def test_a_folder_that_is_not_there_is_found_and_ours_are_sent(folder):
    wording = Wording(folder=folder)
    assert whats(wording) == {(str(folder), "is no folder")}
    assert words(wording) == words(Wording())


def test_a_language_of_the_company_without_templates_is_found():
    assert whats(Wording(locale="it")) == {("it", "is the DEFAULT_LOCALE and has no templates")}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_found(put, folder):
    put("en/created.mail.txt", OWN_SUBJECT)
    (folder / "en" / "created.mail.txt").chmod(0)
    assert ("en/created.mail.txt", "cannot be read (PermissionError)") in whats(Wording(folder=folder))


@on_sqlite
def test_the_settings_reach_the_templates(put, folder, make_app):
    put("en/created.mail.txt", OWN_SUBJECT)
    app = make_app(TEMPLATES_FOLDER=str(folder), TIME_ZONE="Europe/Berlin", DEFAULT_LOCALE="fr")
    shown = run(app, "notifications", "preview", "created", "--locale", "en").stdout
    assert "Subject: Parcel for Grace Mbeki\n" in shown
    assert "10:00 to 12:30 CET" in shown
    assert "Bonjour" in run(app, "notifications", "preview", "lost", "--locale", "it").stdout


@on_sqlite
def test_the_doctor_tells_of_a_broken_template(put, folder, make_app):
    def finding(app):
        return next(line for line in run(app, "doctor").stdout.splitlines() if line[6:].startswith("templates"))

    assert finding(make_app()).startswith("ok    templates       3 locales")
    put("en/created.mail.txt", "{{ nonsense }}")
    line = finding(make_app(TEMPLATES_FOLDER=str(folder)))
    assert line.startswith("warn  templates       1 mistake, the first in en/created.mail.txt")
    assert "flask notifications preview --all" in line
