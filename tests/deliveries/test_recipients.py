"""What a recipient without an account sets by the link in a mail, and what comes of it."""

import html
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from delivery import clock, deliveries
from delivery.database import db
from delivery.deliveries import pages, told
from delivery.notifications import opt_outs, unsubscribing
from delivery.notifications.channels import Letter
from delivery.notifications.preferences import NotificationPreference
from tests.commands import run
from tests.deliveries.telling import rows, verdicts, write_every_cell
from tests.notifications.conftest import on_sqlite
from tests.privacy.test_exports import unpacked
from tests.web.answers import problem, wrong
from tests.web.racing import race

GRACE, EVE = "grace@home.example", "eve@home.example"
FORM = "application/x-www-form-urlencoded"
CREATED = ("created", "recipient", "mail")
UNSET = {"events": {event: {"mail": True} for event in told.EVENTS}, "locale": None, "quiet_hours": None}
NIGHT = {"from": "21:00", "to": "08:00", "time_zone": "Europe/Berlin"}
NIGHT_FORM = {"quiet_from": "21:00", "quiet_to": "08:00", "time_zone": "Europe/Berlin"}


@pytest.fixture
def delivery(api):
    return api.create()


@pytest.fixture
def path(app, delivery):
    """The path of the link in the mail to Grace."""
    return link(app)


def link(app, address=GRACE):
    [message] = [row for row in rows(app) if row.audience == "recipient" and row.channel == "mail"]
    with app.app_context():
        hashed = opt_outs.address_hash("mail", address)
        return unsubscribing.link(hashed, message_id=message.id).removeprefix(app.config["PUBLIC_BASE_URL"])


def is_set(client, path):
    response = client.get(f"{path}/preferences")
    assert response.status_code == 200
    return response.json


def stored(app):
    with app.app_context():
        return db.session.execute(select(NotificationPreference.__table__)).all()


def send_form(client, path, **fields):
    return client.post(f"{path}/preferences", data={"locale": "", **fields}, content_type=FORM)


def send(client, path, **body):
    response = client.post(f"{path}/preferences", json=body)
    assert response.status_code == 204, response.text


def filled_in(page):
    """What the page's form would send as it stands: (action, fields)."""
    made = re.search(r'<form method="post" action="([^"]+/preferences)">(.*?)</form>', page.text, re.DOTALL)
    texts = dict(re.findall(r'<input type="(?:time|text)" [^>]*name="(\w+)"[^>]*? value="([^"]*)"', made[2]))
    ticked = re.findall(r'<input type="checkbox" name="mail" value="(\w+)" checked>', made[2])
    chosen = re.search(r'<option value="([^"]*)" selected>', made[2])
    return made[1], {**texts, "locale": chosen[1] if chosen else "", "mail": ticked}


def test_looking_changes_nothing(app, client, path):
    for end in ("", "/preferences"):
        for method in ("get", "head", "options"):
            assert getattr(client, method)(path + end).status_code == 200
    assert stored(app) == []
    assert is_set(client, path) == UNSET
    _, fields = filled_in(client.get(path))
    assert fields == {"locale": "", "quiet_from": "", "quiet_to": "", "time_zone": "UTC", "mail": list(told.EVENTS)}


@pytest.mark.parametrize("how", ["form", "json"])
def test_a_stranger_with_the_link_sets_them_whole_and_again(app, path, how):
    client = app.test_client(use_cookies=False)
    wanted = [event for event in told.EVENTS if event not in {"created", "lost"}]
    off = {"created": {"mail": False}, "lost": {"mail": False}}
    for _ in range(2):
        if how == "form":
            page = send_form(client, path, locale="de", **NIGHT_FORM, mail=wanted)
            assert page.status_code == 200
            assert "Gespeichert." in page.text
        else:
            send(client, path, locale="de", quiet_hours=NIGHT, events=off)
    assert is_set(client, path) == {"events": {**UNSET["events"], **off}, "locale": "de", "quiet_hours": NIGHT}
    assert len(stored(app)) == 1

    action, fields = filled_in(client.get(path))
    assert fields == {"locale": "de", **NIGHT_FORM, "mail": wanted}
    assert client.post(action, data=fields, content_type=FORM).status_code == 200
    assert is_set(client, path)["quiet_hours"] == NIGHT

    send(client, path)
    assert is_set(client, path) == UNSET
    assert len(stored(app)) == 1


def test_saved_many_times_at_once_it_is_one_row(app, path):
    def save():
        return app.test_client().post(f"{path}/preferences", json={"locale": "de"}).status_code

    assert race(*[save] * 8) == [204] * 8
    assert [row.locale for row in stored(app)] == ["de"]


def test_what_is_off_is_not_sent_and_the_rest_is(app, client, delivery, path):
    send(client, path, events={"created": {"mail": False}, "updated": {"mail": False}})
    write_every_cell(app, delivery)
    made = verdicts(app)

    assert made[CREATED] == "preference"
    assert isinstance(made["lost", "recipient", "mail"], Letter)
    assert isinstance(made["created", "sender", "mail"], Letter)


def test_what_only_the_delivery_has_on_can_be_off(app, client, api):
    delivery = api.create(notifications={"events": {"picked_up": {"recipient": {"mail": True}}}})
    path, cell = link(app), ("picked_up", "recipient", "mail")
    write_every_cell(app, delivery)
    assert isinstance(verdicts(app)[cell], Letter)
    send(client, path, events={"picked_up": {"mail": False}})
    assert verdicts(app)[cell] == "preference"
    send(client, path, events={"picked_up": {"mail": True}})
    assert isinstance(verdicts(app)[cell], Letter)


@on_sqlite
def test_nobody_is_told_more_than_the_delivery_has_on(app, client, delivery, path):
    send(client, path, events={"updated": {"mail": True}})
    write_every_cell(app, delivery)
    assert verdicts(app)["updated", "recipient", "mail"] == "preference"


def test_the_language_is_that_of_the_next_mail(app, client, path):
    before = verdicts(app)[CREATED]
    send_form(client, path, locale="fr", mail=list(told.EVENTS))
    assert verdicts(app)[CREATED].subject != before.subject
    assert "Ne plus recevoir" in verdicts(app)[CREATED].text


def test_quiet_hours_put_it_off(app, client, path):
    hour = clock.now().astimezone(UTC)
    begin, end = hour - timedelta(hours=1), hour + timedelta(hours=1)
    send(client, path, quiet_hours={"from": f"{begin:%H:%M}", "to": f"{end:%H:%M}", "time_zone": "UTC"})
    reason, until = verdicts(app)[CREATED]
    assert (reason, until) == ("quiet_hours", datetime(end.year, end.month, end.day, end.hour, end.minute, tzinfo=UTC))


def test_another_address_is_untouched(app, client, path):
    send(client, link(app, EVE), locale="fr", events={"created": {"mail": False}})
    assert is_set(client, path) == UNSET
    assert isinstance(verdicts(app)[CREATED], Letter)


@on_sqlite
def test_no_answer_names_the_address(client, path):
    for answer in (client.get(path), client.get(f"{path}/preferences"), send_form(client, path, locale="xx--")):
        assert "grace" not in answer.text


@on_sqlite
def test_a_link_that_does_not_work_is_one_and_the_same_400(app, client, path):
    token = path.rpartition("/")[2]
    answers = set()
    for bad in (token[:-1], f"{token}A", token[1:], "x", "%00", "é"):
        for method in ("GET", "POST"):
            for body in ({}, {"locale": 1}):
                response = client.open(f"/unsubscribe/{bad}/preferences", method=method, json=body)
                answers.add(problem(response, 400, "invalid_token")["detail"])
        page = send_form(client, f"/unsubscribe/{bad}")
        assert page.status_code == 400
        assert "<form" not in page.text
    assert len(answers) == 1
    assert stored(app) == []


HOSTILE = [
    ({"locale": 1}, "/locale"),
    ({"locale": "d" * 99}, "/locale"),
    ({"locale": "../../etc"}, "/locale"),
    ({"events": {"lost": {"mail": "yes"}}}, "/events/lost/mail"),
    ({"events": {"lost": {"sms": False}}}, "/events/lost/sms"),
    ({"events": {"lost": {"sender": {"mail": False}}}}, "/events/lost/sender"),
    ({"events": {"draft": {"mail": False}}}, "/events/draft"),
    ({"events": None}, "/events"),
    ({"quiet_hours": {**NIGHT, "from": "24:00"}}, "/quiet_hours/from"),
    ({"quiet_hours": {**NIGHT, "to": "21:00"}}, "/quiet_hours/to"),
    ({"quiet_hours": {**NIGHT, "time_zone": "Mars/Base"}}, "/quiet_hours/time_zone"),
    ({"quiet_hours": {"from": "21:00"}}, "/quiet_hours/to"),
    ({"email": GRACE}, "/email"),
]


@on_sqlite
def test_bad_values_are_named(app, client, path):
    for body, pointer in HOSTILE:
        assert pointer in wrong(client.post(f"{path}/preferences", json=body)), body
    assert stored(app) == []


@on_sqlite
def test_a_bad_form_comes_back_with_what_was_typed_and_what_is_wrong(app, client, path):
    bad = '"><script>'
    for fields, words in (
        ({**NIGHT_FORM, "time_zone": bad}, "Choose a time zone"),
        ({**NIGHT_FORM, "quiet_to": ""}, "Say when the quiet hours end"),
        ({**NIGHT_FORM, "quiet_from": "25:00"}, "Say when the quiet hours begin"),
        ({"locale": bad}, "Choose one of the languages"),
        ({"mail": ["draft"]}, "Not saved"),
        ({"quiet_from": "\0"}, "Not saved"),
        ({"surprise": "1"}, "Not saved"),
    ):
        page = send_form(client, path, **fields)
        assert page.status_code == 422
        assert words in page.text, fields
        assert bad not in page.text
    again = send_form(client, path, **{**NIGHT_FORM, "time_zone": "Mars"}, mail=["lost"])
    _, typed = filled_in(again)
    assert typed == {"locale": "", **NIGHT_FORM, "time_zone": "Mars", "mail": ["lost"]}
    assert client.post(f"{path}/preferences", data={}, content_type=FORM).status_code == 422
    assert stored(app) == []


def test_the_page_is_in_the_language_of_the_mail(app, client, api):
    api.create(recipient={"name": "Grace", "email": GRACE, "locale": "de-AT"})
    page = client.get(link(app))
    assert '<html lang="de">' in page.text
    assert "Keine E-Mails mehr" in page.text
    for name in ("English", "Deutsch", "français"):
        assert f">{name}</option>" in html.unescape(page.text)
    assert "script" not in page.text


@on_sqlite
def test_a_page_whose_language_nobody_knows_is_in_the_default_one(app, client, path, monkeypatch):
    send(client, path, locale="xx-Yyyy")
    assert '<html lang="en">' in client.get(path).text
    assert '<option value="xx-Yyyy" selected>xx-Yyyy</option>' in client.get(path).text
    monkeypatch.setitem(app.config, "DEFAULT_LOCALE", "fr")
    assert '<html lang="fr">' in client.get(path).text
    assert '<html lang="fr">' in client.get("/unsubscribe/x", headers={"Accept": "text/html"}).text


@on_sqlite
def test_every_language_has_every_word_and_every_event(app):
    folder = Path(deliveries.__file__).parent / "html/deliveries/words"
    modules = {tag: app.jinja_env.get_template(f"deliveries/words/{tag}.html").module for tag in pages.LANGUAGES}
    names = {tag: set(re.findall(r"\{% set (\w+)", (folder / f"{tag}.html").read_text())) for tag in modules}
    assert set(modules) == {"en", "de", "fr"}
    used = set(re.findall(r"words\.(\w+)", (folder.parent / "unsubscribe.html").read_text()))
    for tag, module in modules.items():
        assert names[tag] == used
        assert set(module.events) == set(told.EVENTS)
        assert set(module.wrong) == {"locale", "from", "to", "time_zone", "other"}


def test_they_are_exported_and_erased_with_the_address(app, client, people, path, tmp_path):
    send(client, path, locale="de")
    send(client, link(app, EVE), locale="fr")
    assert run(app, "privacy", "export", "--email", GRACE, "--output", tmp_path / "x.zip").exit_code == 0
    held = unpacked((tmp_path / "x.zip").read_bytes())
    assert [one["locale"] for one in held["notification_preferences"]] == ["de"]
    people.admin().post("/api/privacy/erasures", json={"email": GRACE})
    assert [row.locale for row in stored(app)] == ["fr"]
