"""`flask notifications preview` shows and checks what would be sent; it needs no database."""

import email
import email.policy

import pytest

from delivery.notifications.samples import SAMPLES
from tests.commands import run
from tests.notifications.conftest import on_sqlite

pytestmark = on_sqlite  # as none is looked at


@pytest.fixture
def app_without_database(make_app):
    return make_app(DATABASE_URL="postgresql://nobody:Vb7-w2Kq9_Zt@127.0.0.1:1/none", COMPANY_NAME="Swift & Sons")


@pytest.fixture
def preview(app_without_database):
    return lambda *words: run(app_without_database, "notifications", "preview", *words)


def test_a_mail_as_text(preview):
    result = preview("created", "--locale", "de")
    assert result.exit_code == 0
    assert result.stdout.startswith("Subject: Sendung 7K3M9XW2QF4TB kommt zu Ihnen\n\nGuten Tag Grace Mbeki,\n")
    assert result.stderr == ""


def test_the_audience_and_the_page(preview):
    page = preview("lost", "--audience", "sender", "--format", "html").stdout
    assert page.startswith("<!doctype html>")
    assert "Swift &amp; Sons" in page
    assert "Please get in touch with us" in page


def test_a_text_message(preview):
    assert preview("delivered", "--channel", "sms").stdout == (
        "Swift & Sons: delivery 7K3M9XW2QF4TB has arrived. https://delivery.example/track/7K3M9XW2QF4TB\n"
    )


def test_a_mail_for_a_mail_program(preview, tmp_path):
    file = tmp_path / "created.eml"
    assert preview("created", "--locale", "fr", "--format", "eml", "--output", file).exit_code == 0
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert message["Subject"] == "La livraison 7K3M9XW2QF4TB vous est destinée"
    assert message.get_body(["html"]).get_content().startswith("<!doctype html>")


def test_every_mail_can_be_shown(preview):
    assert {preview(template).exit_code for template in SAMPLES} == {0}


def test_the_list(preview):
    lines = [line.split() for line in preview("--list").stdout.splitlines()]
    assert lines[0] == ["template", "channel", "locales"]
    assert ["created", "mail", "de", "en", "fr"] in lines
    assert ["delivered", "sms", "de", "en", "fr"] in lines
    assert len(lines) == 1 + len(SAMPLES) + 6


def test_all_are_well(preview):
    result = preview("--all")
    assert (result.exit_code, result.stdout) == (0, "Every template can be sent in every locale.\n")


def test_a_language_that_there_is_not_is_said(preview):
    assert preview("created", "--locale", "de-AT").stderr == "There is no de-AT; readers get de.\n"
    assert preview("created", "--locale", "it").stderr == "There is no it; readers get en.\n"


def test_what_is_used_wrongly_is_2(preview):
    wrong = ["", "nothing", "created --channel webhook", "delivered --channel sms --format html"]
    assert {preview(*words.split()).exit_code for words in wrong} == {2}


def test_what_cannot_be_shown_is_1_and_one_line(preview, make_app, tmp_path):
    assert preview("created", "--output", tmp_path / "no" / "file").exit_code == 1
    file = tmp_path / "words" / "en" / "created.mail.txt"
    file.parent.mkdir(parents=True)
    file.write_text("{{ nonsense }}\n\nbody")
    app = make_app(TEMPLATES_FOLDER=str(tmp_path / "words"))
    result = run(app, "notifications", "preview", "created")
    assert (result.exit_code, result.stderr) == (1, "Error: created.mail cannot be used: 'nonsense' is undefined\n")
    result = run(app, "notifications", "preview", "--all")
    assert result.exit_code == 1
    assert result.stdout == "en/created.mail.txt: 'nonsense' is undefined\n"


def test_a_message_that_is_not_sent_by_this_channel(preview):
    result = preview("on_hold", "--channel", "sms")
    assert result.exit_code == 2
    assert "on_hold is not sent by sms; --list shows what is." in result.stderr


def test_a_folder_that_is_not_there_is_told(make_app, tmp_path):
    app = make_app(TEMPLATES_FOLDER=str(tmp_path / "wrods"))
    result = run(app, "notifications", "preview", "created")
    assert result.exit_code == 0
    assert f"TEMPLATES_FOLDER: {tmp_path / 'wrods'} is no folder; the built-in ones are used." in result.stderr
