"""One click, and no more mails about deliveries: for mail programs, browsers and programs that have but a link."""

import re
import threading
from email import message_from_bytes
from email.policy import SMTP
from uuid import uuid4

import pytest
from sqlalchemy import select

from delivery import notifications, tokens
from delivery.database import db, transaction
from delivery.deliveries import messages
from delivery.notifications import jobs, opt_outs, unsubscribing
from delivery.notifications.channels import Letter
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.channels.mime import write
from delivery.notifications.opt_outs import OptOut
from delivery.notifications.states import Channel
from delivery.subscriptions import COMPOSERS
from delivery.tokens import Purpose
from tests.deliveries.telling import rows, verdicts
from tests.notifications.conftest import on_sqlite
from tests.web.answers import problem
from tests.web.racing import race

GRACE = "grace@home.example"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
RECIPIENTS = ("created", "recipient", "mail")


def letter_to_grace(app):
    return verdicts(app)[RECIPIENTS]


@pytest.fixture
def letter(app, api):
    api.create()
    return letter_to_grace(app)


@pytest.fixture
def path(letter):
    """The path of the link in a mail."""
    return re.fullmatch(r"<http://127\.0\.0\.1:8000(/unsubscribe/\S+)>", letter.headers["List-Unsubscribe"])[1]


def opted_out(app):
    with app.app_context():
        return bool(opt_outs.opted_out([("mail", GRACE)]))


def periods(app):
    with app.app_context():
        return db.session.execute(select(OptOut.__table__)).all()


def test_a_mail_about_a_delivery_has_the_headers_and_the_link_and_no_address_in_them(letter):
    link = letter.headers["List-Unsubscribe"].strip("<>")

    assert letter.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link in letter.text
    assert link in letter.html
    for text in ("grace", "home.example"):
        assert text not in link


@on_sqlite
def test_the_header_arrives_in_one_piece(app, letter):
    """Encoded, or folded within, no mail program would find the link."""
    with app.app_context():
        raw = write(letter, message_id="x@y.example", sender="a@b.example")

    assert f"List-Unsubscribe: {letter.headers['List-Unsubscribe']}\r\n".encode() in raw.replace(b"\r\n ", b" ")
    parsed = message_from_bytes(raw.removesuffix(b".\r\n"), policy=SMTP)
    assert parsed["List-Unsubscribe"] == letter.headers["List-Unsubscribe"]
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize("how", ["form", "parts", "json"])
def test_one_post_from_a_stranger_without_cookies_is_enough(app, path, how):
    body = {"json": ONE_CLICK} if how == "json" else {"data": ONE_CLICK}
    kind = {"parts": "multipart/form-data", "form": "application/x-www-form-urlencoded"}.get(how)
    response = app.test_client(use_cookies=False).post(path, **body, content_type=kind)

    assert response.status_code == (200 if how == "form" else 204)
    assert not response.headers.getlist("Set-Cookie")
    assert opted_out(app)
    assert verdicts(app)[RECIPIENTS] == "opted_out"
    assert isinstance(verdicts(app)["created", "sender", "mail"], Letter)


def test_looking_changes_nothing(app, client, path):
    for method in ("get", "head", "options"):
        for _ in range(2):
            assert getattr(client, method)(path).status_code == 200
    assert periods(app) == []

    page = client.get(path)
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert GRACE not in page.text


def form(page):
    """(action, fields) of the one form of a page."""
    action = re.search(r'<form method="post" action="([^"]+)"', page.text)[1]
    return action, dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)"', page.text))


def test_a_person_leaves_and_comes_back_by_the_pages_buttons(app, client, path):
    for expected in (True, False, True):
        action, fields = form(client.get(path))
        page = client.post(action, data=fields, content_type="application/x-www-form-urlencoded")
        assert page.status_code == 200
        assert opted_out(app) is expected

    assert [(row.source, row.ended_by) for row in periods(app)] == [("link", "link"), ("link", None)]


@pytest.mark.parametrize("body", [{}, {"List-Unsubscribe": "no"}, {"List-Unsubscribe": ""}, {"other": "One-Click"}])
@on_sqlite
def test_a_post_that_does_not_say_so_is_refused(app, client, path, body):
    assert client.post(path, json=body).status_code == 422
    assert client.post(path, data=body, content_type="multipart/form-data; boundary=x").status_code == 422
    assert periods(app) == []


@on_sqlite
def test_links_that_do_not_work_all_fail_the_same(app, client, path):
    token = path.rpartition("/")[2]
    with app.app_context():
        claims = tokens.issue(Purpose.UNSUBSCRIBE, {"h": "", "m": ""})
        other = tokens.issue_text(Purpose.VERIFY_EMAIL, token.partition(".")[0])
    body, stamp, signature = token.split(".")
    bad = [
        token[:-1], token[1:], token + "A", f"{body}.{stamp}", f"{body}x.{stamp}.{signature}", other,
        claims, "x", "%00",
        "." * 9, f"{body}.{stamp}.{signature[::-1]}", "a" * 5000, "é",
    ]  # fmt: skip
    answers = set()
    for one in bad:
        for method, end in (("GET", ""), ("POST", ""), ("POST", "/undo")):
            response = client.open(f"/unsubscribe/{one}{end}", method=method, json=ONE_CLICK)
            answers.add(problem(response, 400, "invalid_token")["detail"])
    assert len(answers) == 1
    assert periods(app) == []


@on_sqlite
def test_a_link_works_for_two_years_and_no_longer(client, path, monkeypatch):
    age = tokens.MAX_AGE_SECONDS
    assert age[Purpose.UNSUBSCRIBE] == 2 * 365 * 24 * 3600
    assert client.get(path).status_code == 200
    monkeypatch.setitem(age, Purpose.UNSUBSCRIBE, -1)
    page = client.get(path, headers={"Accept": "text/html"})
    assert page.status_code == 400
    assert "not valid" in page.text
    assert "<form" not in page.text


def test_opting_out_many_times_at_once_is_once(app, path):
    answers = race(*[lambda: app.test_client().post(path, json=ONE_CLICK).status_code] * 8)

    assert answers == [204] * 8
    assert len(periods(app)) == 1


def test_mails_of_the_account_ignore_all_of_it(app, people):
    """And so they have neither the header nor the link."""
    user = people.customer(email=GRACE)
    with app.app_context():
        with transaction():
            opt_outs.opt_out("mail", GRACE, "test")
        mail = MemoryTransport()
        notifications.init_app(app, COMPOSERS, transports={**dict.fromkeys(Channel, MemoryTransport()), "mail": mail})
        quiet = {"from": "00:00", "to": "23:59", "time_zone": "UTC"}
        user.put(f"/api/users/{user.user_id}/notification-preferences", json={"quiet_hours": quiet})
        user.client.post("/api/auth/request-password-reset", json={"email": GRACE})
        jobs.deliver("mail", seconds=20)

    [(_, letter)] = mail.sent
    assert letter.address == GRACE
    assert "List-Unsubscribe" not in letter.headers
    assert "unsubscribe" not in letter.text + letter.html


def test_an_opt_out_while_a_batch_is_sent_holds_for_all_that_is_worded_after_it(app, api, path):
    """Of two messages to her the second is not sent: the first one's reading made her click."""
    api.create()
    mail = Clicking(app, path)
    with app.app_context():
        notifications.init_app(app, COMPOSERS, transports={**dict.fromkeys(Channel, MemoryTransport()), "mail": mail})
        jobs.deliver("mail", seconds=20)

    hers = [row for row in rows(app) if row.audience == "recipient"]
    assert [(row.state, row.error_class) for row in hers] == [("sent", None), ("suppressed", "opted_out")]


class Clicking(MemoryTransport):
    """Hands letters over one by one; whoever gets the first clicks at once."""

    def __init__(self, app, path):
        super().__init__(hand_off_size=1)
        self.app, self.path = app, path

    def send(self, message_id, letter):
        if letter.address == GRACE:
            thread = threading.Thread(target=lambda: self.app.test_client().post(self.path, json=ONE_CLICK))
            thread.start()
            thread.join()
        return super().send(message_id, letter)


@on_sqlite
def test_composing_and_opting_out_at_once_gives_a_letter_or_a_reason(app, api, path):
    def click():
        return app.test_client().post(path, json=ONE_CLICK).status_code

    def word():
        made = verdicts(app)[RECIPIENTS]
        return isinstance(made, Letter) or made

    assert set(race(*[click, word] * 4)) <= {204, True, "opted_out"}
    assert verdicts(app)[RECIPIENTS] == "opted_out"


@on_sqlite
def test_a_token_says_whom_by_a_hash_of_its_own(app):
    with app.app_context():
        hashed = opt_outs.address_hash("mail", GRACE)
        identity = uuid4()
        token = unsubscribing.link(hashed, message_id=identity).rpartition("/")[2]
        assert unsubscribing.reader_of(token) == (hashed, identity)
        assert hashed == opt_outs.address_hash("mail", " Grace@Home.Example ")
        assert hashed != opt_outs.address_hash("sms", GRACE)
        assert messages.TEMPLATES


@on_sqlite
@pytest.mark.parametrize(("locale", "words"), [("de", "gilt nicht"), ("fr-CA", "pas valable"), ("it", "is not valid")])
def test_that_a_link_does_not_work_is_said_in_the_house_s_language(make_app, locale, words):
    app = make_app(DEFAULT_LOCALE=locale)
    page = app.test_client().get("/unsubscribe/forged", headers={"Accept": "text/html"})
    assert page.status_code == 400
    assert words in page.text
