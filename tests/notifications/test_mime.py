"""Mails are put together from bytes; each says what one by Flask-Mail and the email package would say."""

import email
import email.policy
import html
import re
from email.header import decode_header, make_header
from email.utils import parseaddr, parsedate_to_datetime

import pytest
from flask import Flask
from flask_mail import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery import clock
from delivery.extensions import mail
from delivery.notifications.channels import Failure, Letter, mime

SENDER = "Delivery <no-reply@delivery.example>"


@pytest.fixture(autouse=True, scope="module")
def _flask_mail():
    """Flask-Mail reads its settings from an app, and needs no more of one."""
    app = Flask("mime")
    mail.init_app(app)
    with app.app_context():
        mime._frame.cache_clear()
        yield
        mime._frame.cache_clear()


def by_flask_mail(letter, sender=SENDER):
    """The same letter, written by Flask-Mail from its beginning to its end."""
    message = Message(
        subject=letter.subject, recipients=[letter.address], body=letter.text, html=letter.html or None, sender=sender,
        extra_headers={"Auto-Submitted": "auto-generated", **letter.headers}, date=clock.now().timestamp(),
    )  # fmt: skip
    message.msgId = "<1@delivery.example>"
    return email.message_from_bytes(message.as_bytes(), policy=email.policy.default)


def written(letter, sender=SENDER):
    return mime.write(letter, message_id="1@delivery.example", sender=sender)


def received(wire):
    """What a mailbox has of it: no final dot, and no doubled ones."""
    assert wire.endswith(b"\r\n.\r\n")
    lines = wire.removesuffix(b".\r\n").split(b"\r\n")
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


def read(letter, sender=SENDER):
    return email.message_from_bytes(received(written(letter, sender)), policy=email.policy.default)


def headers(message):
    return {
        name: " ".join(str(value).split()) for name, value in message.items() if name not in {"Content-Type", "Date"}
    }


def lines(text):
    return re.sub(r"\r\n?", "\n", text).removesuffix("\n")


def parts(message):
    return [
        (part.get_content_type(), part.get_content_charset(), html.unescape(lines(part.get_content())))
        for part in message.walk()
        if not part.is_multipart()
    ]


LETTERS = {
    "plain": Letter("a@b.example", "Hello,\n\nyours\n", "Delivery 7K3M is booked", "<p>Hello</p>\n"),
    "no page": Letter("a@b.example", "Hello", "Delivery 7K3M is booked"),
    "umlauts": Letter("a@b.example", "Größe: ü\n-- \nx", "Sendung „Größe“ kommt", "<p>„Größe“ ü</p>"),
    "emoji": Letter("a@b.example", "🚲 " * 200, "🚲" * 60, "<p>" + "🚲" * 500 + "</p>"),
    "dots": Letter("a@b.example", ".\n..\n.x\n\n.", "Dots", "<p>\n.\n..\n</p>"),
    "long lines": Letter("a@b.example", "x" * 3000, "y " * 100, "<p>" + "z" * 3000 + "</p>"),
    "signs of equality": Letter("a@b.example", "a=b=3D\u00a0ü=\n=", "a=b", "<p a='='>=</p>"),
    "headers": Letter("a@b.example", "x", "s", "<p>x</p>", {"X-A": "b " * 90, "X-B": "ü" * 90, "X-C": "c"}),
    "per cent": Letter("a@b.example", "100 %(text)b %s", "100 % %(id)b", "<p>%d %(to)b</p>", {"X-A": "%(date)b"}),
}


@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS)
def test_a_mail_says_what_flask_mails_says(letter):
    ours, theirs = read(letter), by_flask_mail(letter)
    assert headers(ours) == headers(theirs)
    assert parts(ours) == parts(theirs)
    assert [part.get_content_type() for part in ours.walk()] == [part.get_content_type() for part in theirs.walk()]
    assert abs((parsedate_to_datetime(ours["Date"]) - clock.now()).total_seconds()) < 5
    assert not ours.defects
    assert all(not part.defects for part in ours.walk())


def sound(wire):
    assert wire.isascii()
    for line in wire.split(b"\r\n"):
        assert len(line) <= 998
        assert b"\r" not in line
        assert b"\n" not in line
    assert b"\r\n.\r\n" not in wire[:-5]
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", wire)


# All but lone surrogates: whatever people type, and the line ends that they try.
texts = st.text(
    st.one_of(st.sampled_from("\r\n.= %\u00a0\u2028\x0b\x85ü🚲<&;-"), st.characters(codec="utf-8")), max_size=120
)
long_texts = st.builds(lambda one, count: one * count, texts, st.integers(1, 40))


@settings(max_examples=60, deadline=None)
@given(subject=texts, text=st.one_of(texts, long_texts), page=st.one_of(texts, long_texts), value=texts)
def test_whatever_is_written_arrives(subject, text, page, value):
    wire = written(Letter("a@b.example", text, subject, f"<p>{page}", {"X-Event": value, "X-Last": "1"}))
    sound(wire)
    message = email.message_from_bytes(received(wire), policy=email.policy.compat32)
    assert message.keys() == [
        "Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "X-Event",
        "X-Last",
    ]  # fmt: skip
    for name, given_ in (("Subject", subject), ("X-Event", value)):
        one_line = " ".join("".join(one if one.isprintable() else " " for one in given_).split())
        assert " ".join(str(make_header(decode_header(message[name]))).split()) == one_line
    said = [part for part in message.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in said] == ["text/plain", "text/html"]
    plain, shown = (part.get_payload(decode=True).decode() for part in said)
    assert re.sub(r"\r\n?", "\n", plain) == re.sub(r"\r\n?", "\n", text)
    assert html.unescape(re.sub(r"\r\n?", "\n", shown)) == html.unescape(re.sub(r"\r\n?", "\n", f"<p>{page}"))


def test_a_boundary_that_comes_back_ends_no_part():
    seen = mime._frame(SENDER, html=True).boundaries
    assert len(seen) == 2
    evil = "".join(f"\n--{one}\nContent-Type: text/html\n\n<b>evil</b>\n--{one}--\n" for one in seen)
    message = read(Letter("a@b.example", evil, "s", f"<p>{evil}</p>"))
    assert [part.get_content_type() for part in message.walk() if not part.is_multipart()] == [
        "text/plain",
        "text/html",
    ]
    assert lines(message.get_body(["plain"]).get_content()) == lines(evil)


@pytest.mark.parametrize(
    "value", ["a\r\nBcc: eve@evil.example", "a\nBcc: b", "a\rBcc: b", "a\u2028Bcc: b", "a\x00b\x0bc"]
)
def test_no_value_begins_a_header(value):
    message = read(Letter("a@b.example", "x", value, "<p>x</p>", {"X-A": value}))
    assert message["Bcc"] is None
    assert message["To"] == "a@b.example"


def test_what_looks_encoded_is_what_was_typed():
    assert read(Letter("a@b.example", "x", "=?utf-8?b?aGk=?=", "y"))["Subject"] == "=?utf-8?b?aGk=?="


def test_a_way_out_of_a_list_stays_legible():
    """RFC 8058, 4, is for programs: they look for the address in angle brackets, and decode no words."""
    link = f"<https://delivery.example/unsubscribe/{'x' * 120}>, <mailto:stop@delivery.example>"
    more = {"List-Unsubscribe": link, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    wire = written(Letter("a@b.example", "x", "s", "<p>x</p>", more))
    head = wire.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").decode()
    assert f"\r\nList-Unsubscribe: {link}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click" in head


def test_a_style_keeps_its_characters():
    page = '<style>p:before { content: "→" }</style><p>ü</p>'
    assert page in read(Letter("a@b.example", "x", "s", page)).get_body(["html"]).get_content()


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("no-reply@delivery.example", ""),
        ("<no-reply@delivery.example>", ""),
        ("Delivery <no-reply@delivery.example>", "Delivery"),
        ('"Delivery, Inc." <no-reply@delivery.example>', "Delivery, Inc."),
        ("Swift, Sons & Co. <no-reply@delivery.example>", "Swift, Sons & Co."),
        ("Größe AG <no-reply@delivery.example>", "Größe AG"),
        ("100 % <no-reply@delivery.example>", "100 %"),
    ],
)
def test_the_sender_is_named(sender, name):
    assert mime.mailbox(sender) == (name, "no-reply@delivery.example")
    given_ = str(read(LETTERS["plain"], sender)["From"])
    assert parseaddr(given_) == (name, "no-reply@delivery.example")


@pytest.mark.parametrize("address", ["", "a", "a@b\r\nc", "a@b>", "a b@c.example", "a@b,c@d", "ü@b.example", "@b"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(Failure):
        written(Letter(address, "x", "s", "<p>x</p>"))


def test_an_international_domain_is_written_in_ascii():
    assert b"\r\nTo: a@xn--bcher-kva.example\r\n" in written(Letter("a@bücher.example", "x", "s"))
