"""Mail over a real SMTP server: what goes over the wire, and what each of its failures means."""

import html
import socket
import threading
import time
import uuid
from contextlib import suppress
from email import policy
from email.parser import BytesParser

import pytest
from flask import Flask
from flask_mail import Mail

from delivery.notifications.channels import Failure, Letter, Unknown, Unreachable
from delivery.notifications.channels.mail import SmtpTransport
from tests.servers.waiting import wait_until

LETTER = Letter(
    "grace@home.example",
    "Hello Grace,\n.a line with a dot\nÜber 🚲\n",
    "Dein Fahrrad ist übermorgen da",
    "<p>Hello Grace, Über 🚲</p>",
    {"X-Delivery-Event": "created", "X-Delivery-Number": "0123456789ABC"},
)


@pytest.fixture(autouse=True)
def flask_mail():
    """Flask-Mail asks its app for a detail of attachments, even where there are none."""
    app = Flask(__name__)
    Mail(app)
    with app.app_context():
        yield


@pytest.fixture
def connect(smtp):
    """Call it with settings for a transport to the server; all are closed after the test."""
    opened = []

    def make(**settings):
        given = {"host": smtp.host, "port": smtp.port, "sender": "Delivery <no-reply@delivery.example>", "tls": "none"}
        transport = SmtpTransport(**{**given, "user": "", "password": "", "timeout_seconds": 5, **settings})
        opened.append(transport)
        return transport

    yield make
    for transport in opened:
        transport.close()


@pytest.fixture
def transport(connect):
    return connect()


@pytest.fixture(params=[False, True], ids=["one by one", "in one piece"])
def pipelining(smtp, request):
    """Whether the server says that it takes several commands at once."""
    smtp.pipelining = request.param
    return request.param


@pytest.fixture
def trusted(smtp, monkeypatch):
    """Trust the server's certificate, as an operator would trust a company's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(smtp.certificate))


def send(transport, letter=LETTER, message_id=None):
    return transport.send(message_id or uuid.uuid4(), letter)


def failure_of(transport, letter=LETTER):
    with pytest.raises(Failure) as caught:
        send(transport, letter)
    return caught.value


def test_a_mail_arrives_as_it_was_written(smtp, transport):
    message_id = uuid.uuid4()
    assert "OK" in send(transport, message_id=message_id)
    [mail] = smtp.received
    assert (mail.mail_from, mail.rcpt_tos) == ("no-reply@delivery.example", ["grace@home.example"])
    message = mail.message
    assert message["Message-ID"] == f"<{message_id}@delivery.example>"
    assert message["Subject"] == LETTER.subject
    assert message["From"] == "Delivery <no-reply@delivery.example>"
    assert message["To"] == "grace@home.example"
    assert (message["X-Delivery-Event"], message["X-Delivery-Number"]) == ("created", "0123456789ABC")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_body(["plain"]).get_content().splitlines() == LETTER.text.splitlines()
    # A page names characters by their numbers.
    assert html.unescape(message.get_body(["html"]).get_content().strip()) == LETTER.html


@pytest.mark.parametrize("text", ["", ".", "..\n.\n", "a\r\nb\rc\n", "x" * 5000, "ä" * 2000, "end without newline"])
def test_every_text_arrives_whole(smtp, transport, text):
    send(transport, Letter("grace@home.example", text, "subject", "<p>x</p>"))
    [mail] = smtp.received
    received = mail.message.get_body(["plain"]).get_content()
    assert received.rstrip("\r\n").splitlines() == text.rstrip("\r\n").splitlines()


def test_what_goes_over_the_wire_suits_every_server(smtp, transport):
    send(transport, Letter("grace@home.example", "é" * 3000, "ü" * 300, "<p>" + "x" * 3000))
    [mail] = smtp.received
    assert mail.raw.isascii()
    assert max(len(line) for line in mail.raw.split(b"\r\n")) < 998
    assert b"\n" not in mail.raw.replace(b"\r\n", b"")


@pytest.mark.usefixtures("pipelining")
def test_one_connection_carries_many_mails(smtp, transport):
    for _ in range(5):
        send(transport)
    assert (len(smtp.received), smtp.connections) == (5, 1)


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example\r\nBcc: x@y.example", "a@b.example, c@d.example", "<a@b.example>", "a b@c.example", "a@b@c",
        "a@b.example>\r\nRCPT TO:<x@y.example", "a\x00@b.example", "", "nobody", "@b.example", "a@", "é@b.example",
    ],
)  # fmt: skip
def test_an_address_is_one_address_or_none(smtp, transport, address):
    failure = failure_of(transport, Letter(address, "text", "subject"))
    assert (failure.error_class, failure.permanent) == ("bad_address", True)
    assert smtp.received == []


def test_a_domain_in_any_script_is_an_address(smtp, transport):
    send(transport, Letter("grace@bücher.example", "text", "subject"))
    assert smtp.received[0].rcpt_tos == ["grace@xn--bcher-kva.example"]


@pytest.mark.parametrize(
    "evil", ["x\r\nBcc: eve@evil.example", "x\nBcc: eve@evil.example", "x\r\n\r\nbody", "x\x00\x0b\x1c\u2028y"]
)
def test_no_value_begins_a_header_of_its_own(smtp, transport, evil):
    send(transport, Letter("grace@home.example", "text", evil, "<p>x</p>", {"X-Delivery-Number": evil}))
    [mail] = smtp.received
    message = BytesParser(policy=policy.compat32).parsebytes(mail.raw)
    assert message["Bcc"] is None
    assert len(message.get_all("X-Delivery-Number")) == 1
    assert mail.rcpt_tos == ["grace@home.example"]
    assert "text" in mail.message.get_body(["plain"]).get_content()


@pytest.mark.parametrize(("answer", "permanent"), [("550 5.1.1 No such user", True), ("450 4.2.0 Greylisted", False)])
@pytest.mark.usefixtures("pipelining")
def test_a_refused_recipient_is_told_from_a_busy_one(smtp, transport, answer, permanent):
    smtp.refuse_recipient(answer)
    failure = failure_of(transport)
    assert (type(failure), failure.permanent, failure.error_class) == (Failure, permanent, f"smtp_{answer[:3]}")
    send(transport)
    assert (len(smtp.received), smtp.connections) == (1, 1), "the connection is good for the next letter"


@pytest.mark.parametrize(("answer", "permanent"), [("554 5.7.1 Spam", True), ("451 4.3.0 Later", False)])
@pytest.mark.usefixtures("pipelining")
def test_a_refused_text_is_told_from_a_busy_server(smtp, transport, answer, permanent):
    smtp.refuse_data(answer)
    failure = failure_of(transport)
    assert (type(failure), failure.permanent) == (Failure, permanent)
    send(transport)
    assert len(smtp.received) == 1


@pytest.mark.usefixtures("pipelining")
def test_no_answer_after_the_final_dot_is_unknown(smtp, transport):
    smtp.drop_after_data()
    assert isinstance(failure_of(transport), Unknown)
    assert len(smtp.received) == 1
    send(transport)
    assert len(smtp.received) == 2


def test_a_silent_server_after_the_final_dot_is_unknown(smtp, connect):
    smtp.data_delay = 1.0
    assert isinstance(failure_of(connect(timeout_seconds=0.3)), Unknown)


@pytest.mark.usefixtures("pipelining")
def test_a_server_that_wants_no_more_of_a_connection_gets_a_new_one(smtp, transport):
    send(transport)
    transport._smtp.sock.shutdown(socket.SHUT_RDWR)
    send(transport)
    assert (len(smtp.received), smtp.connections) == (2, 2)


def test_a_server_that_is_busy_is_unreachable(smtp, transport):
    smtp.refuse_connections("421 4.3.2 Busy")
    failure = failure_of(transport)
    assert (type(failure), failure.error_class) == (Unreachable, "smtp_421")
    send(transport)


def test_nobody_there_is_unreachable(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert isinstance(failure_of(connect(port=port)), Unreachable)


def test_a_server_that_does_not_greet_is_unreachable(smtp, connect):
    smtp.banner_delay = 1.0
    assert isinstance(failure_of(connect(timeout_seconds=0.3)), Unreachable)


@pytest.fixture
def breaking_server():
    """A server that hangs up after it has said so many lines."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(lines):
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as heard:
            for line in lines:
                connection.sendall(line)
                heard.readline()

    threads = []

    def start(*lines):
        threads.append(threading.Thread(target=serve, args=(lines,)))
        threads[-1].start()
        return listener.getsockname()[1]

    yield start
    for thread in threads:
        thread.join(timeout=10)
    listener.close()


@pytest.fixture
def endless_server():
    """A server that answers every line with `piece`, again and again, `pause` seconds apart, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    over, threads = threading.Event(), []

    def serve(lines, piece, pause):
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as heard, suppress(OSError):
            for line in lines:
                connection.sendall(line)
                heard.readline()
            while not over.wait(pause):
                connection.sendall(piece)

    def start(*lines, piece, pause):
        threads.append(threading.Thread(target=serve, args=(lines, piece, pause)))
        threads[-1].start()
        return listener.getsockname()[1]

    yield start
    over.set()
    for thread in threads:
        thread.join(timeout=10)
    listener.close()


UP_TO_THE_TEXT = [b"220 hi\r\n", b"250 hi\r\n", b"250 sender\r\n", b"250 recipient\r\n", b"354 go\r\n"]


@pytest.mark.parametrize(
    ("lines", "kind"), [([], Unreachable), (UP_TO_THE_TEXT[:3], Failure), (UP_TO_THE_TEXT, Unknown)]
)
@pytest.mark.parametrize("babble", [(b"2", 0.05), (b"250-and\r\n", 0.05), (b"250-more\r\n" * 500, 0)])
def test_no_server_holds_us_for_longer_than_we_wait(endless_server, connect, lines, kind, babble):
    piece, pause = babble
    transport = connect(port=endless_server(*lines, piece=piece, pause=pause), timeout_seconds=0.5)
    began = time.monotonic()
    assert isinstance(failure_of(transport, Letter("a@b.example", "", "")), kind)
    assert time.monotonic() - began < 2
    transport.close()


def test_a_reply_comes_to_an_end(endless_server, connect):
    transport = connect(port=endless_server(piece=b"250-more\r\n" * 500, pause=0), timeout_seconds=60)
    began = time.monotonic()
    assert isinstance(failure_of(transport), Unreachable)
    assert time.monotonic() - began < 5


def test_all_addresses_of_a_host_share_the_time(connect, monkeypatch):
    """None of them takes a connection: their queues are full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        queued = [socket.socket() for _ in range(4)]
        for one in queued:
            one.setblocking(False)
            one.connect_ex(address)
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address)] * 5
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        began = time.monotonic()
        assert isinstance(failure_of(connect(timeout_seconds=0.5)), Unreachable)
        assert 0.4 < time.monotonic() - began < 1.5
        for one in queued:
            one.close()


def test_a_connection_lost_before_the_text_is_a_clean_failure(breaking_server, connect):
    port = breaking_server(b"220 hi\r\n", b"250 hi\r\n", b"250 sender\r\n", b"250 recipient\r\n")
    failure = failure_of(connect(port=port))
    assert (type(failure).__mro__[1], failure.permanent) == (Failure, False)
    assert not isinstance(failure, Unknown | Unreachable)


def test_a_connection_lost_in_the_middle_of_the_text_is_a_clean_failure(breaking_server, connect):
    port = breaking_server(b"220 hi\r\n", b"250 hi\r\n", b"250 sender\r\n", b"250 recipient\r\n", b"354 go\r\n")
    failure = failure_of(connect(port=port), Letter("a@b.example", "x" * 20_000_000, "subject"))
    assert (failure.error_class, failure.permanent) == ("smtp_disconnected", False)
    assert not isinstance(failure, Unknown | Unreachable)


def test_a_server_that_refuses_and_hangs_up_has_refused(breaking_server, connect):
    port = breaking_server(b"220 hi\r\n", b"250 hi\r\n", b"250 sender\r\n", b"550 no\r\n")
    failure = failure_of(connect(port=port))
    assert (failure.error_class, failure.permanent) == ("smtp_550", True)


def test_nonsense_after_the_final_dot_is_unknown(breaking_server, connect):
    lines = [b"220 hi\r\n", b"250 hi\r\n", b"250 sender\r\n", b"250 recipient\r\n", b"354 go\r\n", b"what?\r\n"]
    transport = connect(port=breaking_server(*lines))
    assert isinstance(failure_of(transport, Letter("a@b.example", "", "")), Unknown)


@pytest.fixture
def piping_server():
    """A server that takes commands in one piece: it answers the first piece with this, and hears on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard, threads = [], []

        def serve(answers):
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(b"220 hi\r\n")
                connection.recv(1000)
                connection.sendall(b"250-hi\r\n250 PIPELINING\r\n")
                for answer in answers:
                    heard.append(connection.recv(1000))
                    connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                heard.append(connection.recv(1000))

        def start(*answers):
            threads.append(threading.Thread(target=serve, args=(answers,)))
            threads[-1].start()
            return listener.getsockname()[1]

        yield start, heard
        for thread in threads:
            thread.join(timeout=10)


TOGETHER = b"MAIL FROM:<no-reply@delivery.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n"


@pytest.mark.parametrize(
    ("answer", "error_class", "then"),
    [
        (b"550 no\r\n503 no sender\r\n503 no sender\r\n", "smtp_550", b"rset\r\n"),
        (b"250 ok\r\n450 busy\r\n503 nobody\r\n", "smtp_450", b"rset\r\n"),
        (b"250 ok\r\n250 ok\r\n451 later\r\n", "smtp_451", b"rset\r\n"),
        # Some wait for a text although they refused its only reader: they get none, not even an empty one.
        (b"250 ok\r\n550 nobody\r\n354 go\r\n", "smtp_550", b""),
        (b"250 ok\r\n", "smtp_disconnected", b""),
        (b"421 bye\r\n", "smtp_421", b""),
    ],
)
def test_of_commands_in_one_piece_the_first_refusal_counts(piping_server, connect, answer, error_class, then):
    start, heard = piping_server
    transport = connect(port=start(answer))
    failure = failure_of(transport, Letter("a@b.example", "text", ""))
    assert (failure.error_class, isinstance(failure, Unknown)) == (error_class, False)
    transport.close()
    wait_until(lambda: len(heard) == 2, what="the end of the conversation")
    assert heard[0] == TOGETHER
    assert heard[1].replace(b"quit\r\n", b"") == then


def test_no_text_leaves_before_all_commands_are_answered(piping_server, connect):
    start, heard = piping_server
    transport = connect(port=start(b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 taken\r\n"))
    assert transport.send(uuid.uuid4(), Letter("a@b.example", "text", "")) == "taken"
    assert (heard[0], len(heard)) == (TOGETHER, 2)
    assert heard[1].endswith(b"\r\n.\r\n")


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_travels_encrypted_to_a_server_that_is_trusted(smtp, connect, trusted, tls):
    send(connect(tls=tls, port=smtp.tls_port if tls == "tls" else smtp.port))
    assert [mail.tls for mail in smtp.received] == [True]


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_server_that_nobody_vouches_for_gets_nothing(smtp, connect, tls):
    failure = failure_of(connect(tls=tls, port=smtp.tls_port if tls == "tls" else smtp.port))
    assert (type(failure), failure.error_class) == (Unreachable, "tls")
    assert smtp.received == []


def test_a_server_without_starttls_gets_nothing(breaking_server, connect):
    port = breaking_server(b"220 hi\r\n", b"250 hi\r\n")
    assert isinstance(failure_of(connect(port=port, tls="starttls")), Unreachable)


def test_we_sign_in_where_asked_to(smtp, connect):
    smtp.logins["delivery"] = "secret"
    send(connect(user="delivery", password="secret"))
    assert [mail.user for mail in smtp.received] == ["delivery"]


@pytest.mark.parametrize("credentials", [("delivery", "gehe\u00efm"), ("j\u00f6rg", "secret")])
def test_credentials_that_cannot_be_sent_are_no_letters_fault(smtp, connect, credentials):
    smtp.logins["delivery"] = "secret"
    user, password = credentials
    failure = failure_of(connect(user=user, password=password))
    assert (type(failure), failure.error_class) == (Unreachable, "smtp_credentials")
    assert user not in failure.message
    assert password not in failure.message


@pytest.mark.parametrize("credentials", [{"user": "delivery", "password": "wrong"}, {}])
def test_wrong_or_missing_credentials_are_no_letters_fault(smtp, connect, credentials):
    smtp.logins["delivery"] = "secret"
    failure = failure_of(connect(**credentials))
    assert (type(failure), failure.permanent) == (Unreachable, False)


def test_an_error_holds_no_address(smtp, transport):
    smtp.refuse_recipient("550 5.1.1 <grace@home.example>: no such user")
    failure = failure_of(transport)
    assert "grace" not in failure.message
    assert "no such user" in failure.message


def test_a_server_that_does_not_want_a_recipient_now_is_not_to_blame(smtp, transport):
    smtp.refuse_recipient("451 4.7.1 greylisted", address="grace@home.example")
    with pytest.raises(Failure) as refused:
        transport.send(uuid.uuid4(), Letter("grace@home.example", "text", "subject"))
    assert (refused.value.permanent, refused.value.of_recipient) == (False, True)
    smtp.refuse_data("451 4.3.0 no room")
    with pytest.raises(Failure) as refused:
        transport.send(uuid.uuid4(), Letter("ada@home.example", "text", "subject"))
    assert refused.value.of_recipient is False
